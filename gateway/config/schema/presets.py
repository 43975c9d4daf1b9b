"""What ``servers.preset`` gives a server where nothing else does (configuration.md 1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

Values = Mapping[str, Any]


def _kind(objects: str, username: str, name: str, **more: Any) -> Values:
    """People are of ``objects`` (filter text); the attributes of their login name and display name."""
    names = {"username": username, "name": name, "email": "mail", "member_of": "memberOf"}
    given = {"search_filter": f"(&{objects}({username}=%s))", "attributes": names, **more}
    return MappingProxyType(given)


PRESETS: Final[Mapping[str, Values]] = MappingProxyType({
    "active_directory": _kind(
        "(objectCategory=person)(objectClass=user)", "sAMAccountName", "displayName", user_attr="cn", primary_group=True
    ),
    "openldap": _kind("(objectClass=inetOrgPerson)", "uid", "cn"),
    "freeipa": _kind("(objectClass=person)(objectClass=posixAccount)", "uid", "displayName"),
    "389ds": _kind("(objectClass=person)", "uid", "cn"),
    "lldap": _kind("(objectClass=person)", "uid", "displayName"),
    "custom": MappingProxyType({}),
    # vault.md 3; without group_search_base_dns there are no groups (vault.md 5), so memberOf is not read either.
    "vault": MappingProxyType({
        "urls": ["ldap://127.0.0.1"],
        "min_tls_version": "TLS1.2",
        "max_tls_version": "TLS1.2",
        "timeout": 30,
        "request_timeout": 90,
        "user_attr": "cn",
        "search_filter": "({{.UserAttr}}={{.Username}})",
        "group_search_filter": "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))",
        "attributes": {"member_of": ""},
    }),
})  # fmt: skip
"""Values in the words of a configuration file, by preset and key; ``custom`` leaves the defaults as they are."""
