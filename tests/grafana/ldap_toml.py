"""An ``ldap.toml`` as people write it: the parts of a block, to be varied."""

from __future__ import annotations

import json
from typing import Any, Final

BASE: Final = "dc=example,dc=com"
PEOPLE: Final = f"ou=people,{BASE}"
GROUPS: Final = f"ou=groups,{BASE}"
POSIX: Final = f"ou=posix,{BASE}"
POSIX2: Final = f"ou=posix2,{BASE}"
SRE: Final = f"cn=sre,{GROUPS}"
DEV: Final = f"cn=dev,{GROUPS}"
OUTER: Final = f"cn=outer,{GROUPS}"

KEYS: Final[dict[str, Any]] = {
    "host": "127.0.0.1",
    "bind_dn": f"cn=svc,ou=services,{BASE}",
    "bind_password": "svc-secret",
    "search_filter": "(uid=%s)",
    "search_base_dns": [PEOPLE],
}
ATTRIBUTES: Final = {"username": "uid", "name": "givenName", "surname": "sn", "email": "mail", "member_of": "memberOf"}


def mapping(group: str | None, role: str | None = None, **more: Any) -> dict[str, Any]:
    """One ``[[servers.group_mappings]]``."""
    given = {"group_dn": group, "org_role": role, **more}
    return {key: value for key, value in given.items() if value is not None}


MAPPINGS: Final = (mapping(SRE, "Admin"), mapping(DEV, "Editor"), mapping("*", "Viewer"))


def block(
    mappings: tuple[dict[str, Any], ...] = MAPPINGS,
    attributes: dict[str, str] | None = None,
    extra: str = "port = @PORT@",
    **keys: Any,
) -> str:
    """One ``[[servers]]``; a key of None is left out, ``extra`` are lines as they stand. ``@PORT@``, ``@LDAPS@``,
    ``@STRICT@``, ``@CA@`` and ``@DIR@`` stand for what only the running directory knows."""
    given = {key: value for key, value in {**KEYS, **keys}.items() if value is not None}
    lines = ["[[servers]]", *_lines(given), extra]
    lines += ["[servers.attributes]", *_lines(ATTRIBUTES if attributes is None else attributes)]
    for each in mappings:
        lines += ["[[servers.group_mappings]]", *_lines(each)]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    """TOML's texts, numbers, truth values and lists of texts are written as in JSON."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
