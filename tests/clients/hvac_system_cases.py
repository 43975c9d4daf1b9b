"""``sys`` of hvac: mounts, their tune, policies, capabilities, leases, and what needs no token (vault.md 9)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, ParamValidationError, UnexpectedError

from tests.clients.hvac_case import ABSENT, CORP, Case, Refused, Site, between

_DENIED: Final = Refused(Forbidden, "permission denied")
_READ: Final = 'path "a/b" { capabilities = ["read"] }'


def enable(site: Site, path: str) -> Any:
    return site.root.sys.enable_auth_method("ldap", path=path)


def enabled(site: Site, path: str, **options: Any) -> Any:
    """The entry of a mount at a path of its own."""
    _ = site.root.sys.enable_auth_method("ldap", path=path, **options)
    try:
        listed = site.root.sys.list_auth_methods()
        entry = listed["data"][f"{path}/"]
        assert listed[f"{path}/"] == entry
        read = site.root.read(f"sys/auth/{path}")
        assert read["data"] == {key: read[key] for key in entry} == entry
        return entry
    finally:
        assert site.root.sys.disable_auth_method(f"{path}/").status_code == 204


def gone(site: Site) -> Any:
    """Its mappings and its tokens; the same mount once more is the same to those who know its accessor."""
    _ = site.people
    person = site.person("boole", "ldap")
    before = site.root.sys.list_auth_methods()["data"]["ldap/"]
    site.root.sys.disable_auth_method("ldap")
    lives = [person.is_authenticated()]
    site.root.sys.enable_auth_method("ldap")
    lives.append(person.is_authenticated())
    after = site.root.sys.list_auth_methods()["data"]["ldap/"]
    return [lives, before["accessor"] == after["accessor"], after["description"], site.root.list("auth/ldap/groups")]


def tuned(site: Site, **written: Any) -> Any:
    _ = site.ldap
    assert site.root.sys.tune_auth_method("ldap", **written).status_code == 204
    read = site.root.sys.read_auth_method_tuning("ldap")
    assert read["data"] == {key: read[key] for key in read["data"]}
    assert site.root.sys.read_mount_configuration("auth/ldap")["data"] == read["data"]
    return read["data"]


def tuned_logins(site: Site) -> Any:
    """A login has the mount's lease."""
    _ = site.people
    site.root.sys.tune_mount_configuration("auth/ldap", default_lease_ttl="20m", max_lease_ttl="30m")
    return site.person("boole", "ldap").auth.token.lookup_self()["data"]


# what is written with the type, what is read of the tune
TUNES: Final[tuple[tuple[dict[str, Any], dict[str, Any]], ...]] = (
    ({"default_lease_ttl": 12345678, "max_lease_ttl": "12345679s"},
     {"default_lease_ttl": 12345678, "max_lease_ttl": 12345679}),
    ({"default_lease_ttl": "1h"}, {"default_lease_ttl": 3600}),
    ({"default_lease_ttl": "system"}, {"default_lease_ttl": 2764800}),
    ({"description": "other words"}, {"description": "other words"}),
    ({"listing_visibility": "unauth"}, {"listing_visibility": "unauth"}),
    ({"token_type": "batch"}, {"token_type": "batch"}),
    ({"user_lockout_config": {"lockout_threshold": "7", "lockout_duration": "10m", "lockout_counter_reset": 90}},
     {"user_lockout_threshold": 7, "user_lockout_duration": 600, "user_lockout_counter_reset_duration": 90}),
    ({"audit_non_hmac_request_keys": ["x"], "passthrough_request_headers": ["y"]}, {"force_no_cache": False}),
)  # fmt: skip
MOUNTS: Final = (
    Case("9", "list_auth_methods", lambda s: sorted(s.root.sys.list_auth_methods()["data"]),
         ["corp/", "local/", "token/"]),
    Case("9", "an-entry", lambda s: enabled(s, "staff", description="people", config={"default_lease_ttl": "1h"}),
         {"type": "ldap", "description": "people", "accessor": lambda text: text.startswith("auth_ldap_"),
          "local": False, "seal_wrap": False, "external_entropy_access": False, "options": None, "plugin_version": "",
          "deprecation_status": "supported", "uuid": bool, "running_sha256": "", "running_plugin_version": str.isascii,
          "config": {"default_lease_ttl": 3600, "max_lease_ttl": 0, "force_no_cache": False,
                     "token_type": "default-service"}}),
    Case("2", "slashes-in-a-path", lambda s: enabled(s, "europe/berlin"), {"type": "ldap"}),
    Case("9", "enable-and-disable", lambda s: [
        enable(s, "brief").status_code, s.root.sys.disable_auth_method("brief").status_code], [204, 204]),
    Case("9", "disable-of-nothing", lambda s: s.root.sys.disable_auth_method("nothing"), 204),
    *(Case("9", f"path-in-use-{number}", partial(enable, path=path),
           Refused(InvalidRequest, f"path is already in use at {used}/"))
      for number, (path, used) in enumerate(((CORP, CORP), ("Corp/x", CORP), ("local", "local"), ("token", "token")))),
    Case("9", "unusable-path", lambda s: s.root.sys.enable_auth_method("ldap", path="a b"),
         Refused(InvalidRequest, "expected a path")),
    Case("9", "unknown-type", lambda s: s.root.sys.enable_auth_method("github"),
         Refused(InvalidRequest, "plugin not found")),
    Case("9", "no-type", lambda s: s.root.sys.enable_auth_method("", path="x"),
         Refused(InvalidRequest, "backend type must be specified as a string")),
    Case("9", "declared-mounts-stay", lambda s: s.root.sys.disable_auth_method(CORP),
         Refused(InvalidRequest, "gateway.conf:1:")),
    Case("9", "local-people-stay", lambda s: s.root.sys.disable_auth_method("local"),
         Refused(InvalidRequest, "cannot be disabled")),
    Case("9", "tokens-stay", lambda s: s.root.sys.disable_auth_method("token"),
         Refused(InvalidRequest, "cannot be disabled")),
    Case("9", "entry-of-nothing", lambda s: s.root.read("sys/auth/nothing"),
         Refused(InvalidRequest, "No auth engine at nothing/")),
    Case("9", "disable-destroys", gone, [[False, False], True, "", None]),
    Case("9.1", "enable-needs-rights", lambda s: s.person().sys.enable_auth_method("ldap"), _DENIED),
    Case("9.1", "list_auth_methods-needs-rights", lambda s: s.person().sys.list_auth_methods(), _DENIED),
    *(Case("9", f"tune-{'-'.join(written)}-{number}", partial(tuned, **written), read)
      for number, (written, read) in enumerate(TUNES)),
    Case("6", "tune-of-logins", tuned_logins, {"ttl": between(1190, 1200)}),
    Case("9", "tune-of-tokens", lambda s: s.root.sys.read_auth_method_tuning("token"),
         {"data": {"max_lease_ttl": 2764800}}),
    Case("9", "tune-of-nothing", lambda s: s.root.sys.read_auth_method_tuning("nothing"),
         Refused(InvalidRequest, "nothing/")),
    Case("9", "tune-to-nonsense", lambda s: [s.ldap, s.root.sys.tune_auth_method("ldap", max_lease_ttl="soon")],
         Refused(InvalidRequest, "unable to parse max_lease_ttl")),
    Case("9", "default-above-longest",
         lambda s: [s.ldap, s.root.sys.tune_auth_method("ldap", default_lease_ttl=2, max_lease_ttl=1)],
         Refused(InvalidRequest, "'default_lease_ttl' cannot be greater")),
    Case("12", "visibility-is-checked-by-hvac", lambda s: s.root.sys.tune_auth_method("ldap", listing_visibility="all"),
         Refused(ParamValidationError, "invalid listing_visibility")),
    Case("9.1", "tune-needs-rights", lambda s: s.person().sys.read_auth_method_tuning(CORP), _DENIED),
    Case("9", "ui-mounts-without-token", lambda s: s.client().read("sys/internal/ui/mounts")["data"],
         {"auth": {"corp/": {"type": "ldap", "description": "everybody"}, "local/": ABSENT}, "secret": {}}),
    Case("9", "ui-mounts-with-rights", lambda s: s.root.read("sys/internal/ui/mounts")["data"]["auth"],
         {"local/": bool, "corp/": bool}),
    Case("9", "ui-mount-of-secrets", lambda s: s.root.read("sys/internal/ui/mounts/secret/x"),
         Refused(Forbidden, "preflight capability check returned 403")),
    Case("7", "unlock-of-nobody", lambda s: s.root.write_data(
        f"sys/locked-users/{s.root.sys.list_auth_methods()['data']['corp/']['accessor']}/unlock/nobody"), 204),
)  # fmt: skip


def with_policy(site: Site, use: Any, text: Any = _READ, *, old: bool = False, name: str = "Mine") -> Any:
    sys = site.root.sys
    write, end = sys.create_or_update_acl_policy, sys.delete_acl_policy
    if old:
        write, end = sys.create_or_update_policy, sys.delete_policy
    assert write(name, text).status_code == 204
    try:
        return use(site)
    finally:
        assert end(name).status_code == 204


def takes_effect(site: Site) -> Any:
    """A policy that is written after the token holds for the token (DECISIONS 20)."""
    client = site.client(site.token(policies=["mine"]))
    before = client.sys.get_capabilities(["a/b"])["capabilities"]
    return [before, with_policy(site, lambda _: client.sys.get_capabilities(["a/b"])["capabilities"])]


POLICIES: Final = (
    Case("9", "read_acl_policy", lambda s: with_policy(s, lambda s: s.root.sys.read_acl_policy("MINE")),
         {"data": {"name": "mine", "policy": _READ}, "policy": _READ}),
    Case("9", "read_policy", lambda s: with_policy(s, lambda s: s.root.sys.read_policy("mine"), old=True),
         {"data": {"name": "mine", "rules": _READ}, "rules": _READ}),
    Case("12", "get_policy", lambda s: with_policy(s, lambda s: s.root.get_policy("mine")), _READ),
    Case("9", "list_acl_policies", lambda s: with_policy(s, lambda s: s.root.sys.list_acl_policies()),
         {"data": {"keys": ["default", "foo", "lister", "mine", "root"]}}),
    Case("9", "list_policies", lambda s: s.root.sys.list_policies(),
         {"data": {"policies": ["default", "foo", "lister", "root"]}, "keys": ["default", "foo", "lister", "root"],
          "policies": ["default", "foo", "lister", "root"]}),
    Case("9.1", "policy-as-dictionary", lambda s: with_policy(
        s, lambda s: s.root.get_policy("mine"), {"path": {"a/b": {"capabilities": ["list"]}}}),
         lambda text: '"list"' in text),
    Case("9.1", "policy-that-cannot-be-read", lambda s: s.root.sys.create_or_update_policy("mine", "path {"),
         Refused(InvalidRequest, "failed to parse policy")),
    Case("9.1", "policy-of-unknown-capability",
         lambda s: s.root.sys.create_or_update_acl_policy("mine", 'path "x" { capabilities = ["fly"] }'),
         Refused(InvalidRequest, "failed to parse policy")),
    Case("9", "policy-root-is-immutable", lambda s: s.root.sys.create_or_update_acl_policy("Root", _READ),
         Refused(InvalidRequest, 'cannot update "root" policy')),
    Case("9", "policy-root-is-not-deleted", lambda s: s.root.sys.delete_policy("root"),
         Refused(InvalidRequest, "cannot delete")),
    Case("9", "policy-default-is-not-deleted", lambda s: s.root.sys.delete_acl_policy("default"),
         Refused(InvalidRequest, 'cannot delete "default" policy')),
    Case("9", "absent-policy", lambda s: s.root.sys.read_policy("mine"), Refused(InvalidPath)),
    Case("9", "absent-acl-policy", lambda s: s.root.sys.read_acl_policy("mine"), Refused(InvalidPath)),
    Case("9", "absent-policy-is-deleted", lambda s: s.root.sys.delete_policy("mine"), 204),
    Case("1.2", "policies-need-rights", lambda s: s.person().sys.list_acl_policies(), _DENIED),
    Case("9.1", "policy-takes-effect", takes_effect, [["deny"], ["read"]]),
)  # fmt: skip


def of_another(site: Site, by: str) -> Any:
    client = site.person("einstein")
    key = client.token if by == "token" else client.auth.token.lookup_self()["data"]["accessor"]
    return site.root.sys.get_capabilities(["auth/token/create", "sys/auth"], **{by: key})["data"]


CAPABILITIES: Final = (
    Case("9", "own", lambda s: s.person("einstein").sys.get_capabilities(["auth/token/create"]),
         {"capabilities": ["update"], "auth/token/create": ["update"],
          "data": {"capabilities": ["update"], "auth/token/create": ["update"]}}),
    *(Case("9", f"by-{by}", partial(of_another, by=by),
           {"auth/token/create": ["update"], "sys/auth": ["deny"], "capabilities": ABSENT})
      for by in ("token", "accessor")),
    Case("9", "of-root", lambda s: s.root.sys.get_capabilities(["sys/auth"]), {"data": {"capabilities": ["root"]}}),
    Case("9.1", "of-default", lambda s: s.person("curie").sys.get_capabilities(
        ["auth/token/lookup-self", "auth/token/renew-self"]),
         {"data": {"auth/token/lookup-self": ["read"], "auth/token/renew-self": ["update"]}}),
    Case("9", "no-paths", lambda s: s.root.sys.get_capabilities([]), Refused(InvalidRequest, "paths must be supplied")),
    Case("9", "of-no-token", lambda s: s.root.sys.get_capabilities(["x"], token="hvs.nothing"),
         Refused(InvalidRequest, "invalid token")),
    Case("9", "of-another-needs-rights", lambda s: s.person().sys.get_capabilities(["x"], token="hvs.nothing"),
         _DENIED),
)  # fmt: skip


def ended(site: Site, revoke: str, prefix: str) -> Any:
    """Whether a login and a token that it made live after their path was revoked, and somebody else's."""
    client, other = site.person("einstein"), site.person("boole")
    child = site.client(client.auth.token.create()["auth"]["client_token"])
    assert getattr(site.root.sys, revoke)(prefix).status_code == 204
    return [each.is_authenticated() for each in (client, child, other)]


LEASES: Final = (
    Case("9", "read_lease", lambda s: s.root.sys.read_lease("nothing"), Refused(InvalidRequest, "invalid lease")),
    Case("9", "renew_lease", lambda s: s.root.sys.renew_lease("nothing", increment=60),
         Refused(InvalidRequest, "lease not found")),
    Case("9", "revoke_lease", lambda s: s.root.sys.revoke_lease("nothing"), 204),
    Case("9", "list_leases", lambda s: s.root.sys.list_leases(f"auth/{CORP}/login"), Refused(InvalidPath)),
    Case("9.1", "list_leases-needs-sudo", lambda s: s.person().sys.list_leases(f"auth/{CORP}"), _DENIED),
    Case("9", "revoke_prefix-of-a-person", lambda s: ended(s, "revoke_prefix", f"auth/{CORP}/login/einstein"),
         [False, False, True]),
    Case("9", "revoke_prefix-of-a-mount", lambda s: ended(s, "revoke_prefix", f"auth/{CORP}"), [False, False, False]),
    Case("9", "revoke_force", lambda s: ended(s, "revoke_force", f"auth/{CORP}/login"), [False, False, False]),
    Case("9.1", "revoke_prefix-needs-sudo", lambda s: s.person().sys.revoke_prefix(f"auth/{CORP}"), _DENIED),
)  # fmt: skip

STATUS: Final = (
    Case("9", "health", lambda s: s.client().sys.read_health_status(method="GET"),
         {"initialized": True, "sealed": False, "standby": False, "performance_standby": False,
          "replication_performance_mode": "disabled", "replication_dr_mode": "disabled", "version": "1.21.0",
          "server_time_utc": between(1.6e9, 4e9), "cluster_name": "ldap-gateway", "cluster_id": bool,
          "data": ABSENT, "request_id": ABSENT}),
    Case("9", "health-by-HEAD", lambda s: s.client().sys.read_health_status(), 200),
    Case("9", "health-with-a-status-of-ones-own", lambda s: s.client().sys.read_health_status(
        active_code=299, standby_ok=True, method="GET").status_code, 299),
    Case("9", "is_initialized", lambda s: s.client().sys.is_initialized(), True),
    Case("9", "read_init_status", lambda s: s.client().sys.read_init_status() == {"initialized": True}, True),
    Case("9", "is_sealed", lambda s: s.client().sys.is_sealed(), False),
    Case("9", "seal_status", lambda s: s.client().seal_status,
         {"type": "shamir", "initialized": True, "sealed": False, "t": 1, "n": 1, "progress": 0, "nonce": "",
          "version": "1.21.0", "build_date": "", "migration": False, "cluster_name": "ldap-gateway", "cluster_id": bool,
          "recovery_seal": False, "storage_type": bool, "data": ABSENT}),
    Case("9", "leader", lambda s: s.client().sys.read_leader_status() == {
        "ha_enabled": False, "is_self": False, "leader_address": "", "leader_cluster_address": "",
        "performance_standby": False}, True),
    Case("9", "ha_status", lambda s: s.client().ha_status, {"ha_enabled": False}),
    Case("1.2", "initialising-once-more", lambda s: s.root.sys.initialize(5, 3),
         Refused(UnexpectedError, "unsupported operation")),
    Case("1.2", "sealing", lambda s: s.root.sys.seal(), Refused(InvalidPath, "unsupported path")),
    Case("1.2", "secrets-engines", lambda s: s.root.sys.list_mounted_secrets_engines(),
         Refused(InvalidPath, "unsupported path")),
    Case("1.2", "a-secret", lambda s: s.root.secrets.kv.v1.read_secret("x"),
         Refused(InvalidPath, 'no handler for route "secret/x". route entry not found.')),
    Case("1.2", "a-secret-without-token", lambda s: s.client().secrets.kv.v1.read_secret("x"), _DENIED),
    Case("9", "path-help", lambda s: s.root.adapter.get("/v1/auth/corp/config", params={"help": "1"}),
         {"help": lambda text: "userdn" in text, "see_also": None, "openapi": {}, "data": ABSENT}),
    Case("9", "path-help-without-token", lambda s: s.client().adapter.get(f"/v1/auth/{CORP}", params={"help": "1"}),
         _DENIED),
)  # fmt: skip
CASES: Final = (*MOUNTS, *POLICIES, *CAPABILITIES, *LEASES, *STATUS)
