"""Which key was meant by one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .origin import Path
from .schema import Server
from .schema.meant import asked, nearest
from .schema.shape import Table, leaves

NEAR_ELSEWHERE: Final = 0.9
"""How close (of 1) a key of another table must be to be suggested; less will do for one of the same table."""
_OURS: Final = frozenset(Server.model_fields)
"""Keys of a server that are our own; the others are Vault's names."""
_OTHER_PROGRAMS: Final = {
    ours: frozenset(theirs.split())
    for ours, theirs in {
        "host": "server servers hosts hostname address ldap_host",
        "urls": "uri uris ldap_uri ldap_url",
        "search_base_dns": "base basedn base_dn basedns base_dns suffix searchbase search_base search_base_dn "
                           "search_basedn user_base user_base_dn user_search_base users_dn",
        "search_filter": "filter user_filter user_search_filter login_filter ldap_filter",
        "bind_dn": "binddn binduser bind_user bind_user_dn service_dn manager_dn",
        "bind_password": "bindpw bind_pw bindpasswd bind_passwd bind_pass bindpassword bind_secret bind_credentials "
                         "password binddn_password bind_dn_password manager_password",
        "group_search_base_dns": "group_base group_base_dn group_basedn group_search_base group_search_base_dn",
        "group_search_filter": "group_filter groups_filter",
        "root_ca_cert": "ca ca_cert ca_certs ca_file cafile cacert cacertfile tls_ca tls_cacert tls_ca_file",
        "ssl_skip_verify": "skip_verify insecure tls_skip_verify insecure_skip_verify tls_insecure",
        "start_tls": "use_tls tls use_starttls use_start_tls",
        "use_ssl": "ssl ldaps use_ldaps",
        "preset": "type kind vendor schema_type implementation",
    }.items()
}  # fmt: skip
"""What keys of a server are called elsewhere, where no likeness of letters would tell."""


def suggestion(path: Path, beside: Iterable[str], node: Table | None, known: Mapping[str, str]) -> str:
    """``; did you mean ...?`` with a key of the same table, else of any other; empty where nothing is close.

    ``path`` is that of the unknown key, ``beside`` are the keys given with it, ``node`` is the shape of its table,
    ``known`` holds every known key with its dotted path.
    """
    wanted = path[-1].lower()
    siblings = node.keys.keys() if node else ()
    if path[0] == "servers" and len(path) > 2 and node:
        found = _of_server(wanted, siblings, beside) if len(path) == 3 else nearest(wanted, siblings)
        return asked(found or _elsewhere(wanted, known_keys(node)))
    return asked(nearest(wanted, siblings) or _elsewhere(wanted, known))


def _of_server(wanted: str, siblings: Iterable[str], beside: Iterable[str]) -> str:
    """Vault's names are for those who use them already: one makes another preset of the server."""
    if not any(key in siblings and key not in _OURS for key in beside):
        siblings = _OURS
    plain = wanted.replace("-", "_")
    named = next((ours for ours, theirs in _OTHER_PROGRAMS.items() if plain in theirs), "")
    return named if named in siblings else nearest(wanted, siblings)


def _elsewhere(wanted: str, known: Mapping[str, str]) -> str:
    return known.get(nearest(wanted, known, NEAR_ELSEWHERE), "")


def known_keys(root: Table) -> dict[str, str]:
    """Every key below ``root`` with its dotted path (of equal keys the first one)."""
    known: dict[str, str] = {}
    for path, _ in leaves(root):
        if path[-1] != "*":
            known.setdefault(path[-1], ".".join(path))
    return known
