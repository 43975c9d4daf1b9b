"""Rows of ``test_policies_acl.py``: what proves it, the policies, the request, and whether it is allowed.

The sections are those of vault.md; "acl.go" is the upstream file that section 9.1 sums up.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    proves: str
    policies: tuple[str, ...]
    operation: str
    path: str
    allowed: bool
    parameters: dict[str, object] | None = None
    wrap_seconds: int = 0


def p(path: str, *capabilities: str, **more: str) -> str:
    listed = ", ".join(f'"{name}"' for name in capabilities)
    settings = "\n".join(f"{key} = {value}" for key, value in more.items())
    return f'path "{path}" {{\n capabilities = [{listed}]\n {settings}\n}}\n'


def old(path: str, word: str) -> str:
    return f'path "{path}" {{ policy = "{word}" }}\n'


ALL = ("create", "read", "update", "delete", "list", "patch")
CFG = "auth/ldap/config"

ROWS = [
    # exact
    Row("9.1 exact", (p(CFG, "read", "update"),), "read", CFG, True),
    Row("9.1 exact, another capability", (p(CFG, "read"),), "update", CFG, False),
    Row("9.1 create is not update", (p(CFG, "create"),), "update", CFG, False),
    Row("9.1 update is not create", (p(CFG, "update"),), "create", CFG, False),
    Row("9.1 update is not patch", (p(CFG, "update"),), "patch", CFG, False),
    Row("9.1 patch", (p(CFG, "patch"),), "patch", CFG, True),
    Row("9.1 delete", (p("auth/ldap/groups/x", "delete"),), "delete", "auth/ldap/groups/x", True),
    Row("9.1 scan", (p("auth/ldap/groups/", "scan"),), "scan", "auth/ldap/groups/", True),
    Row("9.1 list is not scan", (p("auth/ldap/groups/", "list"),), "scan", "auth/ldap/groups/", False),
    Row("9.1 exact gives nothing below", (p("auth/ldap", "read"),), "read", CFG, False),
    Row("9.1 exact gives nothing above", (p(CFG, "read"),), "read", "auth/ldap", False),
    Row("9.1 exact is no beginning", (p(CFG, "read"),), "read", CFG + "s", False),
    Row("9.1 case matters in paths", (p(CFG, "read"),), "read", "auth/LDAP/config", False),
    Row("9.1 no policy", (), "read", CFG, False),
    Row("9.1 no capability", (p(CFG),), "read", CFG, False),
    Row("9.1 leading slash in the policy", (p("/" + CFG, "read"),), "read", CFG, True),
    Row("acl.go: leading slashes in the request", (p(CFG, "read"),), "read", "//" + CFG, True),
    Row("9.1 trailing slash is another path", (p(CFG + "/", "read"),), "read", CFG, False),
    Row("9.1 blanks and odd characters", (p("auth/ldap/users/a b@c#d", "read"),), "read", "auth/ldap/users/a b@c#d", True),
    Row("9.1 regex characters are plain", (p("a.c/+/x", "read"),), "read", "abc/1/x", False),
    # prefix
    Row("9.1 prefix", (p("auth/ldap/*", "read"),), "read", CFG, True),
    Row("9.1 prefix, nothing after it", (p("auth/ldap/*", "read"),), "read", "auth/ldap/", True),
    Row("9.1 prefix, slash missing", (p("auth/ldap/*", "read"),), "read", "auth/ldap", False),
    Row("9.1 prefix inside a segment", (p("auth/ldap/con*", "read"),), "read", CFG, True),
    Row("9.1 prefix inside a segment, deep", (p("auth/l*", "read"),), "read", CFG, True),
    Row("9.1 prefix of everything", (p("*", "read"),), "read", CFG, True),
    Row("9.1 prefix of everything, empty path", (p("*", "read"),), "read", "", True),
    Row("9.1 longest prefix", (p("auth/*", "read"), p("auth/ldap/*", "update")), "read", CFG, False),
    Row("9.1 longest prefix gives its own", (p("auth/*", "read"), p("auth/ldap/*", "update")), "update", CFG, True),
    Row("9.1 shorter prefix elsewhere", (p("auth/*", "read"), p("auth/ldap/*", "update")), "read", "auth/corp/config", True),
    Row("9.1 exact before prefix", (p("auth/*", *ALL), p(CFG, "read")), "update", CFG, False),
    Row("9.1 exact before longer text of prefix", (p(CFG + "*", "update"), p(CFG, "read")), "update", CFG, False),
    Row("9.1 star in the middle is plain", (p("auth/*/config", "read"),), "read", CFG, False),
    Row("9.1 star in the middle matches itself", (p("auth/*/config", "read"),), "read", "auth/*/config", True),
    Row("9.1 two stars: only the last is one", (p("auth/**", "read"),), "read", "auth/*x", True),
    Row("9.1 two stars, no star in the path", (p("auth/**", "read"),), "read", "auth/x", False),
    Row("9.1 star after plus and slash", (p("auth/+/*", "read"),), "read", CFG, True),
    # one segment
    Row("9.1 plus", (p("auth/+/config", "read"),), "read", CFG, True),
    Row("9.1 plus is one segment", (p("auth/+/config", "read"),), "read", "auth/a/b/config", False),
    Row("acl.go: plus takes an empty segment", (p("auth/+/config", "read"),), "read", "auth//config", True),
    Row("9.1 plus at the end", (p("auth/ldap/groups/+", "read"),), "read", "auth/ldap/groups/ops", True),
    Row("9.1 plus at the end, deeper", (p("auth/ldap/groups/+", "read"),), "read", "auth/ldap/groups/ops/x", False),
    Row("9.1 plus at the beginning", (p("+/ldap/config", "read"),), "read", CFG, True),
    Row("9.1 plus alone", (p("+", "read"),), "read", "auth", True),
    Row("9.1 plus alone, deeper", (p("+", "read"),), "read", CFG, False),
    Row("9.1 several plus", (p("+/+/config", "read"),), "read", CFG, True),
    Row("9.1 plus inside a segment is plain", (p("auth/ld+p/config", "read"),), "read", "auth/ldap/config", False),
    Row("9.1 plus inside a segment matches itself", (p("auth/ld+p/config", "read"),), "read", "auth/ld+p/config", True),
    Row("9.1 plus with prefix", (p("auth/+/con*", "read"),), "read", CFG, True),
    Row("9.1 plus with prefix, deeper", (p("auth/+/gr*", "read"),), "read", "auth/ldap/groups/a/b", True),
    Row("9.1 plus with prefix, too short", (p("auth/+/con*", "read"),), "read", "auth/ldap", False),
    Row("9.1 newline is a character", (p("auth/+", "read"),), "read", "auth/a\nb", True),
    Row("9.1 newline at the end is no end", (p("+/ldap", "read"),), "read", "auth/ldap\n", False),
    # which of several patterns
    Row("9.1 first wildcard latest", (p("auth/+/config", "read"), p("auth/ldap/+", "update")), "read", CFG, False),
    Row("9.1 first wildcard latest, its own", (p("auth/+/config", "read"), p("auth/ldap/+", "update")), "update", CFG, True),
    Row("9.1 late star over early plus", (p("auth/+/config", "read"), p("auth/ldap/*", "update")), "update", CFG, True),
    Row("9.1 late plus over early star", (p("auth/*", "read"), p("auth/ldap/+", "update")), "update", CFG, True),
    Row("9.1 plus over star at one place", (p("auth/ldap/*", "read"), p("auth/ldap/+", "update")), "read", CFG, False),
    Row("9.1 no prefix over prefix", (p("auth/+/con*", "read"), p("auth/+/config", "update")), "read", CFG, False),
    Row("9.1 no prefix although more plus", (p("+/ldap/*", "read"), p("+/+/+", "update")), "update", CFG, True),
    Row("9.1 fewer plus", (p("+/+/config", "read"), p("+/ldap/config", "update")), "read", CFG, False),
    Row("9.1 fewer plus although shorter", (p("+/+/config", "read"), p("+//config", "update")), "read", "auth//config", False),
    Row("9.1 longer", (p("+/ldap/con*", "read"), p("+/ldap/conf*", "update")), "read", CFG, False),
    Row("9.1 exact before plus", (p("auth/+/config", *ALL), p(CFG, "read")), "update", CFG, False),
    Row("9.1 plain plus does not count as wildcard", (p("a+b/c/+", "read"), p("a+b/*", "update")), "read", "a+b/c/d", True),
    # deny
    Row("9.1 deny", (p(CFG, "deny"),), "read", CFG, False),
    Row("9.1 deny in one rule wins", (p(CFG, "read", "deny"),), "read", CFG, False),
    Row("9.1 deny of another policy wins", (p(CFG, "read"), p(CFG, "deny")), "read", CFG, False),
    Row("9.1 deny wins in any order", (p(CFG, "deny"), p(CFG, "read")), "read", CFG, False),
    Row("9.1 deny of a prefix does not reach an exact rule", (p("auth/*", "deny"), p(CFG, "read")), "read", CFG, True),
    Row("9.1 deny of an exact rule in a prefix", (p("auth/*", *ALL), p(CFG, "deny")), "read", CFG, False),
    Row("9.1 deny of a prefix in a prefix", (p("auth/*", *ALL), p("auth/ldap/*", "deny")), "read", CFG, False),
    Row("9.1 deny of a plus", (p("auth/*", *ALL), p("auth/+/config", "deny")), "read", CFG, False),
    Row("9.1 deny and sudo", (p("auth/token/accessors", "deny", "list", "sudo"),), "list", "auth/token/accessors/", False),
    # several policies
    Row("9.1 capabilities add up: first", (p(CFG, "read"), p(CFG, "update")), "read", CFG, True),
    Row("9.1 capabilities add up: second", (p(CFG, "read"), p(CFG, "update")), "update", CFG, True),
    Row("9.1 capabilities of a prefix add up", (p("auth/*", "read"), p("auth/*", "update")), "update", CFG, True),
    Row("9.1 capabilities of a plus add up", (p("auth/+/config", "read"), p("auth/+/config", "update")), "read", CFG, True),
    Row("9.1 a path twice in one document", (p(CFG, "read") + p(CFG, "update"),), "update", CFG, True),
    Row("9.1 slash before makes no other path", (p("/" + CFG, "read"), p(CFG, "deny")), "read", CFG, False),
    # listing
    Row("9.1 list, path without its slash", (p("auth/ldap/groups", "list"),), "list", "auth/ldap/groups/", True),
    Row("9.1 list, path with its slash", (p("auth/ldap/groups/", "list"),), "list", "auth/ldap/groups/", True),
    Row("9.1 list, both: with slash first", (p("auth/ldap/groups/", "deny"), p("auth/ldap/groups", "list")), "list", "auth/ldap/groups/", False),
    Row("9.1 list, exact without slash before a prefix", (p("auth/ldap/groups", "deny"), p("auth/*", "list")), "list", "auth/ldap/groups/", False),
    Row("9.1 list by prefix", (p("auth/ldap/*", "list"),), "list", "auth/ldap/groups/", True),
    Row("acl.go: list by plus needs the slash", (p("auth/+/groups", "list"),), "list", "auth/ldap/groups/", False),
    Row("acl.go: list by plus with slash", (p("auth/+/groups/", "list"),), "list", "auth/ldap/groups/", True),
    Row("9.1 read does not list", (p("auth/ldap/groups", "read"),), "list", "auth/ldap/groups/", False),
    Row("9.1 list does not read", (p("auth/ldap/groups/*", "list"),), "read", "auth/ldap/groups/ops", False),
    Row("9.1 without slash for lists only", (p("auth/ldap/groups", "read"),), "read", "auth/ldap/groups/", False),
    # sudo
    Row("9.1 sudo path without sudo", (p("auth/token/accessors", "list"),), "list", "auth/token/accessors/", False),
    Row("9.1 sudo path", (p("auth/token/accessors", "list", "sudo"),), "list", "auth/token/accessors/", True),
    Row("9.1 sudo is no capability of its own", (p("auth/token/accessors", "sudo"),), "list", "auth/token/accessors/", False),
    Row("9.1 sys/auth write without sudo", (p("sys/auth/*", *ALL),), "update", "sys/auth/corp", False),
    Row("9.1 sys/auth write", (p("sys/auth/*", "update", "sudo"),), "update", "sys/auth/corp", True),
    Row("9.1 sys/auth delete without sudo", (p("sys/auth/*", *ALL),), "delete", "sys/auth/corp", False),
    Row("9.1 sys/auth read", (p("sys/auth/*", "read"),), "read", "sys/auth/corp", True),
    Row("9.1 sys/auth list", (p("sys/auth", "read"),), "read", "sys/auth", True),
    Row("9.1 tune without sudo", (p("sys/*", *ALL),), "update", "sys/mounts/auth/ldap/tune", False),
    Row("9.1 tune of a mount with slashes", (p("sys/*", *ALL),), "read", "sys/auth/a/b/tune", False),
    Row("9.1 tune", (p("sys/*", *ALL, "sudo"),), "update", "sys/auth/ldap/tune", True),
    Row("9.1 revoke-orphan without sudo", (p("auth/token/*", *ALL),), "update", "auth/token/revoke-orphan", False),
    Row("9.1 leases/lookup below without sudo", (p("sys/leases/*", *ALL),), "list", "sys/leases/lookup/auth/", False),
    Row("9.1 leases/lookup itself", (p("sys/leases/*", *ALL),), "update", "sys/leases/lookup", True),
    Row("9.1 revoke-prefix without sudo", (p("sys/leases/*", *ALL),), "update", "sys/leases/revoke-prefix/auth/ldap", False),
    Row("9.1 old revoke-prefix without sudo", (p("sys/*", *ALL),), "update", "sys/revoke-prefix/auth/ldap", False),
    Row("9.1 sudo adds up, too", (p("sys/auth/*", "update"), p("sys/auth/*", "sudo")), "update", "sys/auth/corp", True),
    # the old form
    Row("9.1 policy = read", (old("auth/*", "read"),), "read", CFG, True),
    Row("9.1 policy = read lists", (old("auth/*", "read"),), "list", "auth/ldap/groups/", True),
    Row("9.1 policy = read writes not", (old("auth/*", "read"),), "update", CFG, False),
    Row("9.1 policy = write", (old("auth/*", "write"),), "delete", CFG, True),
    Row("9.1 policy = write reads", (old("auth/*", "write"),), "read", CFG, True),
    Row("9.1 policy = write is no sudo", (old("sys/*", "write"),), "update", "sys/auth/corp", False),
    Row("9.1 policy = sudo", (old("sys/*", "sudo"),), "update", "sys/auth/corp", True),
    Row("9.1 policy = deny", (old("auth/*", "deny"), p("auth/*", "read")), "read", CFG, False),
    Row("9.1 old and new form add up", ('path "a" { policy = "read" capabilities = ["update"] }',), "update", "a", True),
    # help
    Row("9.1 help needs only a token", (), "help", "auth/ldap", True),
    Row("9.1 help although denied", (p("*", "deny"),), "help", "auth/ldap", True),
    # policy default
    Row("9.1 default: lookup-self", ("default",), "read", "auth/token/lookup-self", True),
    Row("9.1 default: renew-self", ("default",), "update", "auth/token/renew-self", True),
    Row("9.1 default: revoke-self", ("default",), "update", "auth/token/revoke-self", True),
    Row("9.1 default: capabilities-self", ("default",), "update", "sys/capabilities-self", True),
    Row("9.1 default: unwrap", ("default",), "update", "sys/wrapping/unwrap", True),
    Row("9.1 default: no more", ("default",), "update", "auth/token/lookup", False),
    Row("9.1 root", ("root",), "delete", "sys/auth/corp", True),
    Row("6 a policy that does not exist", ("unknown",), "read", CFG, False),
    Row("6 root among others is no root", ("root", "default"), "read", CFG, False),
    # parameters and wrapping
    Row("acl.go: allowed value", (p("a", "update", allowed_parameters='{ "x" = ["1", "y*"] }'),), "update", "a", True, {"X": "yes"}),
    Row("acl.go: other value", (p("a", "update", allowed_parameters='{ "x" = ["1"] }'),), "update", "a", False, {"x": "2"}),
    Row("acl.go: other parameter", (p("a", "update", allowed_parameters='{ "x" = [] }'),), "update", "a", False, {"x": "1", "z": ""}),
    Row("acl.go: any other parameter", (p("a", "update", allowed_parameters='{ "x" = ["1"] "*" = [] }'),), "update", "a", True, {"z": "2"}),
    Row("acl.go: any other, but this one", (p("a", "update", allowed_parameters='{ "x" = ["1"] "*" = [] }'),), "update", "a", False, {"x": "2"}),
    Row("11 the command line sends text", (p("a", "update", allowed_parameters='{ "x" = [1, true] }'),), "update", "a", True, {"x": "true"}),
    Row("acl.go: denied parameter", (p("a", "update", denied_parameters='{ "x" = [] }'),), "update", "a", False, {"X": "1"}),
    Row("acl.go: denied value", (p("a", "update", denied_parameters='{ "x" = ["*t"] }'),), "update", "a", False, {"x": "root"}),
    Row("acl.go: another value", (p("a", "update", denied_parameters='{ "x" = ["root"] }'),), "update", "a", True, {"x": "rooted"}),
    Row("14 denied value in a list", (p("a", "update", denied_parameters='{ "x" = ["root"] }'),), "update", "a", False, {"x": ["b", "root"]}),
    Row("acl.go: all denied", (p("a", "update", denied_parameters='{ "*" = [] }'),), "update", "a", False, {"z": "1"}),
    Row("acl.go: all denied, none given", (p("a", "update", denied_parameters='{ "*" = [] }'),), "update", "a", True, {}),
    Row("acl.go: denied wins over allowed", (p("a", "update", allowed_parameters='{ "x" = [] }', denied_parameters='{ "x" = ["1"] }'),), "update", "a", False, {"x": "1"}),
    Row("acl.go: required", (p("a", "update", required_parameters='["Ttl"]'),), "update", "a", True, {"ttl": ""}),
    Row("acl.go: required is missing", (p("a", "update", required_parameters='["ttl"]'),), "update", "a", False, {}),
    Row("acl.go: deleting has no parameters", (p("a", "delete", required_parameters='["ttl"]'),), "delete", "a", True, {}),
    Row("acl.go: allowed values add up", (p("a", "update", allowed_parameters='{ "x" = ["1"] }'), p("a", "update", allowed_parameters='{ "x" = ["2"] }')), "update", "a", True, {"x": "2"}),
    Row("acl.go: any value wins", (p("a", "update", allowed_parameters='{ "x" = [] }'), p("a", "update", allowed_parameters='{ "x" = ["2"] }')), "update", "a", True, {"x": "1"}),
    Row("10 wrapping needed", (p("a", "read", min_wrapping_ttl='"1m"'),), "read", "a", False),
    Row("10 wrapping long enough", (p("a", "read", min_wrapping_ttl='"1m"'),), "read", "a", True, None, 60),
    Row("10 wrapping too short", (p("a", "read", min_wrapping_ttl='"1m30s"'),), "read", "a", False, None, 89),
    Row("10 wrapping too long", (p("a", "read", max_wrapping_ttl="60"),), "read", "a", False, None, 61),
    Row("10 wrapping bounds need wrapping", (p("a", "read", max_wrapping_ttl="60"),), "read", "a", False),
    Row("acl.go: the lesser bound", (p("a", "read", max_wrapping_ttl="60"), p("a", "read", max_wrapping_ttl="30")), "read", "a", False, None, 31),
]

CAPABILITIES = [
    ("9 none", (), CFG, ["deny"]),
    ("9 sorted", (p(CFG, "update", "list", "create", "read"),), CFG, ["create", "list", "read", "update"]),
    ("9 root", ("root",), CFG, ["root"]),
    ("9 deny alone", (p(CFG, "read", "deny"),), CFG, ["deny"]),
    ("9 no capability", (p(CFG),), CFG, ["deny"]),
    ("acl.go: as for a list", (p("auth/ldap/groups", "list", "sudo"),), "auth/ldap/groups/", ["list", "sudo"]),
    ("9 slash before", (p(CFG, "read"),), "/" + CFG, ["read"]),
    ("9 by the rule chosen, not by all", (p("auth/*", "read"), p(CFG, "update")), CFG, ["update"]),
]
