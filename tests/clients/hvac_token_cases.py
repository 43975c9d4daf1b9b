"""``auth.token`` of hvac, and what its client does with a token of its own (vault.md 6, 8, 10, 12)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import hvac
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

from tests.clients.hvac_case import ABSENT, CORP, PASSWORD, ROOT, Case, Refused, Site, accessor, between, service_token

POLICIES: Final = {
    "foo": """
        path "auth/token/create" { capabilities = ["update"] }
        path "auth/token/renew" { capabilities = ["update"] }""",
    "lister": 'path "auth/*" { capabilities = ["read", "list"] }',
}
"""Einstein's group gives him ``foo``."""
_DENIED: Final = Refused(Forbidden, "permission denied")
_MONTH: Final = 2764800


def looked_up(site: Site, **asked: Any) -> Any:
    """A token that was asked for, as it sees itself."""
    return site.client(site.token(**asked)).auth.token.lookup_self()["data"]


def all_look_ups(site: Site) -> Any:
    """By token, accessor and itself; only who asks by accessor is not told the token."""
    token = site.root.auth.token
    text = site.token(policies=["foo"], ttl="1h", meta={"a": "b"})
    own = site.client(text).auth.token.lookup_self()["data"]
    others = [token.lookup(text)["data"], token.lookup_accessor(own["accessor"])["data"]]
    return [others[0] | {"ttl": 0} == own | {"ttl": 0}, others[1] | {"ttl": 0} == own | {"ttl": 0, "id": ""}]


def of_a_login(site: Site) -> Any:
    return site.person("einstein").auth.token.lookup_self()["data"]


LOOK_UPS: Final = (
    Case("8", "lookup_self", of_a_login,
         {"id": service_token, "accessor": accessor, "policies": ["bar", "default", "foo"], "orphan": True,
          "path": "auth/corp/login/einstein", "meta": {"username": "einstein"}, "display_name": "corp-einstein",
          "num_uses": 0, "type": "service", "creation_time": between(1.6e9, 4e9), "creation_ttl": _MONTH,
          "ttl": between(_MONTH - 60, _MONTH), "explicit_max_ttl": 0, "renewable": True, "entity_id": bool,
          "issue_time": lambda text: text.endswith("Z"), "expire_time": lambda text: text.endswith("Z")}),
    Case("8", "root-token", lambda s: s.root.auth.token.lookup_self()["data"],
         {"path": "auth/token/root", "policies": ["root"], "meta": None, "expire_time": None, "ttl": 0,
          "renewable": False}),
    Case("8", "three-ways-to-look-up", all_look_ups, [True, True]),
    Case("12", "lookup_token", lambda s: s.person("boole").lookup_token(), {"data": {"display_name": "corp-boole"}}),
    Case("8", "lookup-of-nothing", lambda s: s.root.auth.token.lookup("hvs.nothing"), Refused(Forbidden, "bad token")),
    Case("8", "lookup_accessor-of-nothing", lambda s: s.root.auth.token.lookup_accessor("nothing"),
         Refused(InvalidRequest, "invalid accessor")),
    Case("8", "lookup_accessor-of-no-text", lambda s: s.root.auth.token.lookup_accessor(""),
         Refused(InvalidRequest, "missing accessor")),
    Case("8", "lookup_self-of-no-token", lambda s: s.client("hvs.nothing").auth.token.lookup_self(), _DENIED),
    Case("8", "lookup-is-not-everybodys", lambda s: s.person().auth.token.lookup(ROOT), _DENIED),
    Case("8", "list_accessors",
         lambda s: of_a_login(s)["accessor"] in s.root.auth.token.list_accessors()["data"]["keys"], True),
    Case("9.1", "list_accessors-needs-sudo",
         lambda s: s.client(s.token(policies=["lister"])).auth.token.list_accessors(), _DENIED),
)  # fmt: skip


def by_small_rights(site: Site, **asked: Any) -> Any:
    """Einstein may make tokens."""
    return site.person("einstein").auth.token.create(**asked)


def same_id_twice(site: Site) -> Any:
    assert site.token(id="a-token-of-my-own") == "a-token-of-my-own"
    return site.token(id="a-token-of-my-own")


CREATIONS: Final = (
    Case("8", "create", lambda s: s.root.auth.token.create(policies=["ops"], ttl="30m", meta={"a": "b"}),
         {"auth": {"client_token": service_token, "accessor": accessor, "policies": ["default", "ops"],
                   "metadata": {"a": "b"}, "lease_duration": 1800, "renewable": True, "orphan": False,
                   "token_type": "service"}}),
    Case("8", "display_name", lambda s: looked_up(s, display_name="ci"), {"display_name": "token-ci"}),
    Case("8", "explicit_max_ttl", lambda s: s.root.auth.token.create(explicit_max_ttl="5m", ttl="30m"),
         {"auth": {"lease_duration": 300}}),
    Case("8", "explicit_max_ttl-in-the-look-up", lambda s: looked_up(s, explicit_max_ttl="5m"),
         {"explicit_max_ttl": 300}),
    Case("8", "period", lambda s: s.root.auth.token.create(period="30m"), {"auth": {"lease_duration": 1800}}),
    Case("8", "period-in-the-look-up", lambda s: looked_up(s, period="30m"), {"period": 1800}),
    Case("8", "num_uses", lambda s: s.root.auth.token.create(num_uses=3), {"auth": {"num_uses": 3}}),
    Case("6", "a-look-up-is-a-use", lambda s: looked_up(s, num_uses=3), {"num_uses": 2}),
    Case("8", "not-renewable", lambda s: s.root.auth.token.create(renewable=False, ttl=60),
         {"auth": {"renewable": False}}),
    Case("8", "no_parent", lambda s: s.root.auth.token.create(no_parent=True), {"auth": {"orphan": True}}),
    Case("8", "no_default_policy", lambda s: s.root.auth.token.create(no_default_policy=True, policies=["ops"]),
         {"auth": {"policies": ["ops"]}}),
    Case("8", "batch", lambda s: s.root.auth.token.create(type="batch", policies=["ops"]),
         {"auth": {"token_type": "batch", "accessor": "", "renewable": False}}),
    Case("8", "own-id-twice", same_id_twice, Refused(InvalidRequest, "duplicate ID")),
    Case("8", "create_orphan", lambda s: s.root.auth.token.create_orphan(policies=["ops"]), {"auth": {"orphan": True}}),
    Case("8", "policies-of-a-child", lambda s: by_small_rights(s, policies=["foo"]),
         {"auth": {"policies": ["default", "foo"], "orphan": False}}),
    Case("8", "all-policies-of-its-parent", by_small_rights, {"auth": {"policies": ["bar", "default", "foo"]}}),
    Case("8", "more-than-its-parent", lambda s: by_small_rights(s, policies=["other"]),
         Refused(InvalidRequest, "subset")),
    Case("8", "orphan-by-small-rights", lambda s: s.person().auth.token.create_orphan(), _DENIED),
    Case("1.2", "create-by-none", lambda s: s.person("tesla").auth.token.create(), _DENIED),
    Case("8", "negative-ttl", lambda s: s.root.auth.token.create(ttl="-1h"), Refused(InvalidRequest, "negative")),
    Case("8", "of-no-role", lambda s: s.root.auth.token.create(role_name="nothing"),
         Refused(InvalidRequest, "unknown role nothing")),
)  # fmt: skip


def renewed(site: Site, by: str, **asked: Any) -> Any:
    text = site.token(**asked)
    token = site.root.auth.token
    if by == "self":
        return site.client(text).auth.token.renew_self(increment="20m")["auth"]
    if by == "accessor":
        return token.renew_accessor(token.lookup(text)["data"]["accessor"], increment=1200)["auth"]
    return token.renew(text, increment="1200")["auth"]


def same_token(site: Site) -> Any:
    client = site.person()
    return client.auth.token.renew_self()["auth"]["client_token"] == client.token


RENEWALS: Final = (
    *(Case("8", f"renew-by-{by}", partial(renewed, by=by, ttl="1m"),
           {"lease_duration": between(1195, 1200), "renewable": True}) for by in ("self", "accessor", "token")),
    Case("8", "renewal-keeps-the-token", same_token, True),
    Case("8", "renewal-of-a-period", lambda s: renewed(s, "self", period="5m"), {"lease_duration": 300}),
    Case("8", "renewal-up-to-the-hard-end", lambda s: renewed(s, "self", explicit_max_ttl="2m"),
         {"lease_duration": between(100, 120)}),
    Case("12", "renew_token", lambda s: s.person("einstein").renew_token(s.token(ttl="1h"), increment=60),
         {"auth": {"lease_duration": between(55, 60)}}),
    Case("8", "not-renewable-is-not-renewed", lambda s: renewed(s, "token", ttl="1h", renewable=False),
         Refused(InvalidRequest, "lease is not renewable")),
    Case("8", "root-is-not-renewed", lambda s: s.root.auth.token.renew_self(),
         Refused(InvalidRequest, "lease is not renewable")),
    Case("8", "batch-is-not-renewed", lambda s: renewed(s, "token", type="batch", policies=["foo"]),
         Refused(InvalidRequest, "batch tokens cannot be renewed")),
    Case("8", "renewal-of-nothing", lambda s: s.root.auth.token.renew("hvs.nothing"),
         Refused(InvalidRequest, "token not found")),
    Case("8", "renewal-of-no-accessor", lambda s: s.root.auth.token.renew_accessor("nothing"),
         Refused(InvalidRequest, "token not found")),
    Case("6", "renewal-after-the-policies-changed",
         lambda s: [s.people, (client := s.person("boole", "ldap")), s.ldap.delete_group("engineers"),
                    client.auth.token.renew_self()],
         Refused(InvalidRequest, "policies have changed")),
)  # fmt: skip


def revoked(site: Site, by: str) -> Any:
    """What the call says, and whether the token and its child still live."""
    text = site.token(policies=["foo", "default"])
    client, root = site.client(text), site.root
    child = site.client(client.auth.token.create()["auth"]["client_token"])
    shown = root.auth.token.lookup(text)["data"]["accessor"]
    ways: dict[str, Any] = {
        "revoke": lambda: root.auth.token.revoke(text).status_code,
        "revoke_self": lambda: client.auth.token.revoke_self().status_code,
        "revoke_accessor": lambda: root.auth.token.revoke_accessor(shown).status_code,
        "revoke_and_orphan_children": lambda: root.auth.token.revoke_and_orphan_children(text).status_code,
        "revoke_token": lambda: root.revoke_token(text),
        "revoke_token-orphan": lambda: root.revoke_token(text, orphan=True),
        "revoke_token-accessor": lambda: root.revoke_token(shown, accessor=True),
    }
    return [ways[by](), client.is_authenticated(), child.is_authenticated()]


def after_its_end(site: Site) -> Any:
    client = site.person()
    client.auth.token.revoke_self()
    return client.auth.token.lookup_self()


def logged_out(site: Site, *, revoke: bool) -> Any:
    client = site.person()
    text = client.token
    client.logout(revoke_token=revoke)
    return [client.token, client.is_authenticated(), site.client(text).is_authenticated()]


REVOCATIONS: Final = (
    *(Case("8", by, partial(revoked, by=by), [None if "token" in by else 204, False, "orphan" in by])
      for by in ("revoke", "revoke_self", "revoke_accessor", "revoke_and_orphan_children", "revoke_token",
                 "revoke_token-orphan", "revoke_token-accessor")),
    Case("8", "revoke-of-nothing", lambda s: s.root.auth.token.revoke("hvs.nothing"), 204),
    Case("8", "revoke-of-no-text", lambda s: s.root.auth.token.revoke(""), Refused(InvalidRequest, "missing token ID")),
    Case("8", "revoke_accessor-of-nothing", lambda s: s.root.auth.token.revoke_accessor("nothing"),
         {"warnings": ["No token found with this accessor"]}),
    Case("9.1", "orphans-need-sudo", lambda s: s.person().auth.token.revoke_and_orphan_children(ROOT), _DENIED),
    Case("8", "after-revoke_self", after_its_end, _DENIED),
    Case("12", "logout", lambda s: logged_out(s, revoke=False), [None, False, True]),
    Case("12", "logout-that-revokes", lambda s: logged_out(s, revoke=True), [None, False, False]),
    Case("12", "is_authenticated", lambda s: s.person().is_authenticated(), True),
    Case("12", "is_authenticated-by-nothing", lambda s: s.client("hvs.nothing").is_authenticated(), False),
    Case("12", "is_authenticated-without-token", lambda s: s.client().is_authenticated(), False),
    Case("6", "is_authenticated-uses-one-up",
         lambda s: [(client := s.client(s.token(num_uses=1))).is_authenticated(), client.is_authenticated()],
         [True, False]),
)  # fmt: skip


def with_role(site: Site, use: Any, **role: Any) -> Any:
    token = site.root.auth.token
    assert token.create_or_update_role("ci", **role).status_code == 204
    try:
        return use(token)
    finally:
        assert token.delete_role("ci").status_code == 204


ROLES: Final = (
    Case("8", "read_role", lambda s: with_role(s, lambda t: t.read_role("ci"), allowed_policies="ops,dev", orphan=True,
                                              token_period="1h", path_suffix="x"),
         {"data": {"name": "ci", "allowed_policies": ["ops", "dev"], "orphan": True, "token_period": 3600,
                   "renewable": True, "path_suffix": "x"}}),
    Case("8", "list_roles", lambda s: with_role(s, lambda t: t.list_roles()), {"data": {"keys": ["ci"]}}),
    Case("8", "token-of-a-role",
         lambda s: with_role(s, lambda t: t.create(role_name="ci"), allowed_policies="ops", orphan=True),
         {"auth": {"policies": ["default", "ops"], "orphan": True}}),
    Case("8", "what-a-role-does-not-allow",
         lambda s: with_role(s, lambda t: t.create(role_name="ci", policies=["dev"]), allowed_policies="ops"),
         Refused(InvalidRequest, "subset")),
    Case("8", "no-roles", lambda s: s.root.auth.token.list_roles(), Refused(InvalidPath)),
    Case("8", "absent-role", lambda s: s.root.auth.token.read_role("ci"), Refused(InvalidPath)),
    Case("8", "absent-role-is-deleted", lambda s: s.root.auth.token.delete_role("ci"), 204),
)  # fmt: skip


def unwrapped(site: Site, wrapping: str, *, by: str) -> Any:
    if by == "body":
        return site.root.sys.unwrap(wrapping)
    if by == "cubbyhole":
        client = site.client()
        answer = client.auth_cubbyhole(wrapping)
        assert client.is_authenticated()
        return answer
    return site.client(wrapping).sys.unwrap()


def once(site: Site) -> Any:
    wrapping = site.root.sys.wrap({"a": 1})["wrap_info"]["token"]
    site.root.sys.unwrap(wrapping)
    return site.root.sys.unwrap(wrapping)


def peeked(site: Site) -> Any:
    """A look does not consume."""
    wrapping = site.root.sys.wrap({"a": 1}, ttl="2m")["wrap_info"]["token"]
    told = site.client().write_data("sys/wrapping/lookup", data={"token": wrapping})["data"]
    return [told["creation_path"], told["creation_ttl"], site.root.sys.unwrap(wrapping)["data"]]


def wrapped_token(site: Site, by: str) -> Any:
    made = site.root.auth.token.create(policies=["foo"], wrap_ttl="1m")
    assert (made["auth"], made["data"], made["request_id"]) == (None, None, "")
    found = unwrapped(site, made["wrap_info"]["token"], by=by)["auth"]
    return [found["accessor"] == made["wrap_info"]["wrapped_accessor"], found["policies"]]


WRAPPING: Final = (
    Case("10", "wrap", lambda s: s.root.sys.wrap({"a": {"b": 1}}, ttl=60),
         {"wrap_info": {"token": service_token, "accessor": accessor, "ttl": 60, "creation_path": "sys/wrapping/wrap",
                        "creation_time": lambda text: text.endswith("Z"), "wrapped_accessor": ABSENT},
          "data": None, "auth": None}),
    Case("10", "unwrap", lambda s: unwrapped(s, s.root.sys.wrap({"a": {"b": 1}})["wrap_info"]["token"], by="body"),
         {"data": {"a": {"b": 1}}, "wrap_info": None}),
    Case("10", "unwrap-once", once, Refused(InvalidRequest, "wrapping token is not valid or does not exist")),
    Case("10", "unwrap-of-nothing", lambda s: s.root.sys.unwrap("hvs.nothing"),
         Refused(InvalidRequest, "wrapping token is not valid or does not exist")),
    Case("10", "lookup-does-not-consume", peeked, ["sys/wrapping/wrap", 120, {"a": 1}]),
    *(Case("10", f"token-unwrapped-by-{by}", partial(wrapped_token, by=by), [True, ["default", "foo"]])
      for by in ("body", "token", "cubbyhole")),
    Case("10", "wrapped-look-up",
         lambda s: unwrapped(s, s.root.lookup_token(wrap_ttl="30s")["wrap_info"]["token"], by="token"),
         {"data": {"policies": ["root"]}}),
    Case("10", "wrapped-read", lambda s: s.root.read(f"auth/{CORP}/groups/scientists", wrap_ttl="90"),
         {"wrap_info": {"ttl": 90, "creation_path": "auth/corp/groups/scientists"}}),
    Case("10", "nothing-to-say-is-not-wrapped",
         lambda s: s.root.write_data("auth/token/revoke", data={"token": "x"}, wrap_ttl="1m"),
         204),
    Case("10", "a-refusal-is-not-wrapped",
         lambda s: s.root.write_data("auth/token/create", data={"ttl": "-1"}, wrap_ttl="1m"),
         Refused(InvalidRequest, "negative")),
    Case("10", "wrap-without-ttl", lambda s: s.root.sys.wrap({"a": 1}, ttl=0),
         Refused(InvalidRequest, "response wrapping")),
    Case("1", "nonsense-as-ttl", lambda s: s.root.sys.wrap({"a": 1}, ttl="soon"),
         Refused(InvalidRequest, "error parsing X-Vault-Wrap-TTL header")),
    Case("1", "negative-ttl-of-wrapping", lambda s: s.root.sys.wrap({"a": 1}, ttl=-1),
         Refused(InvalidRequest, "error parsing X-Vault-Wrap-TTL header")),
    Case("10", "a-wrapping-token-does-nothing-else",
         lambda s: s.client(s.root.sys.wrap({"a": 1})["wrap_info"]["token"]).auth.token.lookup_self(), _DENIED),
)  # fmt: skip


def strict(site: Site) -> Any:
    """GET with ``?list=true`` in place of the verb LIST."""
    return site.client(ROOT, strict_http=True)


def raw(site: Site, **options: Any) -> hvac.Client:
    return site.client(ROOT, adapter=hvac.adapters.RawAdapter, **options)


def raw_login(site: Site) -> Any:
    client = raw(site)
    answer = client.auth.ldap.login("boole", PASSWORD, mount_point=CORP)
    return [client.token == answer.json()["auth"]["client_token"], client.is_authenticated()]


def headers(site: Site) -> Any:
    sent = raw(site).read(f"auth/{CORP}/config").headers
    return [sent["Content-Type"], sent["Cache-Control"]]


def error_told(site: Site) -> Any:
    """What hvac keeps of a refusal."""
    try:
        site.root.auth.token.lookup("hvs.nothing")
    except Forbidden as refused:
        return [refused.errors, refused.json, refused.method, refused.url.endswith("/v1/auth/token/lookup")]
    return "nothing was refused"


ADAPTERS: Final = (
    Case("12", "strict-list", lambda s: strict(s).auth.ldap.list_groups(mount_point=CORP),
         {"data": {"keys": ["engineers", "scientists"]}}),
    Case("12", "strict-list-of-accessors", lambda s: strict(s).auth.token.list_accessors(), {"data": {"keys": bool}}),
    Case("12", "strict-list-of-nothing", lambda s: strict(s).auth.token.list_roles(), Refused(InvalidPath)),
    Case("12", "strict-list-of-policies", lambda s: strict(s).sys.list_acl_policies(),
         {"data": {"keys": ["default", "foo", "lister", "root"]}}),
    Case("12", "raw-login", raw_login, [True, True]),
    Case("1", "headers", headers, ["application/json", "no-store"]),
    Case("12", "raw-without-exceptions",
         lambda s: raw(s, ignore_exceptions=True).auth.token.read_role("x").json(), {"errors": []}),
    Case("12", "what-an-exception-keeps", error_told, [["bad token"], {"errors": ["bad token"]}, "post", True]),
    Case("1", "without-the-request-header", lambda s: s.client(ROOT, request_header=False).is_authenticated(), True),
    Case("1", "root-namespace", lambda s: s.client(ROOT, namespace="root/").is_authenticated(), True),
    Case("1", "another-namespace", lambda s: s.client(ROOT, namespace="team").auth.token.lookup_self(),
         Refused(InvalidPath, "namespace not found")),
    Case("12", "two-slashes", lambda s: s.root.read(f"auth//{CORP}/groups//scientists")["data"],
         {"policies": ["bar", "foo"]}),
)  # fmt: skip
CASES: Final = (*LOOK_UPS, *CREATIONS, *RENEWALS, *REVOCATIONS, *ROLES, *WRAPPING, *ADAPTERS)
