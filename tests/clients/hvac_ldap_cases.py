"""``auth.ldap`` of hvac: what is configured and mapped, and who logs in (vault.md 2-7, 12)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, ParamValidationError, VaultError

from tests.clients.hvac_case import ABSENT, CORP, PASSWORD, Case, Refused, Site, accessor, service_token

BINDPASS: Final = "planted-bind-password"
_BROKEN: Final = "((memberUid={{.Username}})(member={{.UserDN}}))"
_SPACED: Final = "(&({{.UserAttr}}={{ .Username }})(mail=*))"
_OWN: Final = "(x={{.Username}})"
_WARNED: Final = "userfilter configured does not consider userattr and may result in colliding entity aliases on logins"


def configured(site: Site, **written: Any) -> Any:
    """What is read after a write that says nothing."""
    answer = site.ldap.configure(**written)
    assert answer.status_code == 204, answer
    return site.ldap.read_configuration()["data"]


# what is written, what is read
FIELDS: Final[tuple[tuple[dict[str, Any], dict[str, Any]], ...]] = (
    ({"url": "LDAP://Dc1, ldaps://DC2:3269"}, {"url": "ldap://dc1,ldaps://dc2:3269"}),
    ({"url": "ldap://[::1]:1389"}, {"url": "ldap://[::1]:1389"}),
    ({"starttls": True}, {"starttls": True}),
    ({"starttls": "t"}, {"starttls": True}),
    ({"insecure_tls": 1}, {"insecure_tls": True}),
    ({"tls_min_version": "tls13", "tls_max_version": "tls13"},
     {"tls_min_version": "tls13", "tls_max_version": "tls13"}),
    ({"tls_max_version": "tls13"}, {"tls_min_version": "tls12", "tls_max_version": "tls13"}),
    ({"binddn": "cn=svc,DC=x", "bindpass": BINDPASS}, {"binddn": "cn=svc,DC=x", "bindpass": ABSENT}),
    ({"userdn": "ou=Users,dc=x"}, {"userdn": "ou=Users,dc=x"}),
    ({"userattr": "sAMAccountName"}, {"userattr": "samaccountname"}),
    ({"userfilter": _SPACED}, {"userfilter": _SPACED}),
    ({"discoverdn": True}, {"discoverdn": True}),
    ({"upndomain": "example.com"}, {"upndomain": "example.com"}),
    ({"groupdn": "ou=Groups,dc=x"}, {"groupdn": "ou=Groups,dc=x"}),
    ({"groupfilter": _BROKEN}, {"groupfilter": _BROKEN}),
    ({"groupattr": "memberOf"}, {"groupattr": lambda text: text.lower() == "memberof"}),
    ({"anonymous_group_search": True}, {"anonymous_group_search": True}),
    ({"use_token_groups": "true"}, {"use_token_groups": True}),
    ({"case_sensitive_names": True}, {"case_sensitive_names": True}),
    ({"username_as_alias": True}, {"username_as_alias": True}),
    ({"dereference_aliases": "finding"}, {"dereference_aliases": "finding"}),
    ({"max_page_size": "500"}, {"max_page_size": 500}),
    ({"request_timeout": "1m30s"}, {"request_timeout": 90}),
    ({"connection_timeout": 7}, {"connection_timeout": 7}),
    ({"token_ttl": "30m", "token_max_ttl": "24h"}, {"token_ttl": 1800, "token_max_ttl": 86400}),
    ({"token_explicit_max_ttl": "1h"}, {"token_explicit_max_ttl": 3600}),
    ({"token_period": 60}, {"token_period": 60}),
    ({"token_policies": ["Ops", " dev", "ops", ""]}, {"token_policies": ["dev", "ops"]}),
    ({"token_bound_cidrs": ["10.0.0.0", "127.0.0.0/8"]}, {"token_bound_cidrs": ["10.0.0.0", "127.0.0.0/8"]}),
    ({"token_no_default_policy": True}, {"token_no_default_policy": True}),
    ({"token_num_uses": 12}, {"token_num_uses": 12}),
    ({"token_type": "batch"}, {"token_type": "batch"}),
    ({"token_type": "service"}, {"token_type": "service"}),
)  # fmt: skip
DEFAULTS: Final = {
    "url": "ldap://127.0.0.1", "starttls": False, "insecure_tls": False, "certificate": "", "client_tls_cert": ABSENT,
    "client_tls_key": ABSENT, "tls_min_version": "tls12", "tls_max_version": "tls12", "binddn": "", "bindpass": ABSENT,
    "userdn": "", "userattr": "cn", "userfilter": "({{.UserAttr}}={{.Username}})", "discoverdn": False,
    "deny_null_bind": True, "upndomain": "", "groupdn": "", "groupattr": "cn", "anonymous_group_search": False,
    "groupfilter": "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))",
    "use_token_groups": False, "case_sensitive_names": False, "username_as_alias": False,
    "dereference_aliases": "never", "max_page_size": 0, "request_timeout": 90, "connection_timeout": 30,
    "token_ttl": 0, "token_max_ttl": 0, "token_explicit_max_ttl": 0, "token_period": 0, "token_policies": [],
    "token_bound_cidrs": [], "token_no_default_policy": False, "token_num_uses": 0, "token_type": "default",
}  # fmt: skip
# what is written, what the refusal says
UNUSABLE: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"userfilter": "({{.UserAttr}=x)"}, "invalid userfilter"),
    ({"groupfilter": "(member={{.Nobody}})"}, "invalid groupfilter"),
    ({"certificate": "no PEM"}, "failed to parse server tls cert"),
    ({"client_tls_cert": "x"}, "both client_tls_cert and client_tls_key must be set"),
    ({"client_tls_cert": "x", "client_tls_key": "y"}, "failed to parse client X509 key pair"),
    ({"tls_min_version": "ssl3"}, "invalid 'tls_min_version'"),
    ({"tls_max_version": "1.3"}, "invalid 'tls_max_version'"),
    ({"tls_min_version": "tls13", "tls_max_version": "tls12"},
     "'tls_max_version' must be greater than or equal to 'tls_min_version'"),
    ({"starttls": "perhaps"}, 'Field validation failed: error converting input for field "starttls"'),
    ({"request_timeout": "-5s"}, "cannot provide negative value"),
    ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
    ({"token_ttl": "2h", "token_max_ttl": "1h"}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
    ({"token_type": "paper"}, "invalid 'token_type' value \"paper\""),
    ({"token_type": "batch", "token_period": "1h"}, "'token_type' cannot be 'batch'"),
    ({"token_bound_cidrs": ["10.0.0.0/40"]}, "10.0.0.0/40"),
    ({"dereference_aliases": "sometimes"}, "never, finding, searching, always"),
)  # fmt: skip


def write(site: Site, **written: Any) -> Any:
    return site.ldap.configure(**written)


def kept_beside(site: Site) -> Any:
    """What a second write leaves out; the bind password shows in that url may be changed (DECISIONS 15)."""
    configured(site, url="ldap://dc1", userdn="dc=x", binddn="cn=svc", bindpass=BINDPASS)
    configured(site, userattr="uid")
    return configured(site, url="ldap://dc2")


def unchanged_by_failure(site: Site) -> Any:
    configured(site, userdn="dc=x")
    try:
        site.ldap.configure(userdn="dc=y", token_type="paper")
    except InvalidRequest:
        return site.ldap.read_configuration()["data"]
    return "the write went through"


def warned(site: Site) -> Any:
    return [site.ldap.configure(userfilter=_OWN)["warnings"], site.ldap.read_configuration()["warnings"]]


def client_certificate(site: Site) -> Any:
    return configured(site, client_tls_cert=site.pem("server.pem"), client_tls_key=site.pem("server.key"))


def authority(site: Site) -> Any:
    return configured(site, certificate=site.pem("ca.pem"))["certificate"].strip() == site.pem("ca.pem").strip()


CONFIGURATION: Final = (
    Case("3", "never-written", lambda s: s.ldap.read_configuration(),
         {"data": DEFAULTS, "warnings": None, "auth": None}),
    *(Case("3", f"field-{'-'.join(written)}-{number}", partial(configured, **written), read)
      for number, (written, read) in enumerate(FIELDS)),
    Case("3", "certificate", authority, True),
    Case("3", "client-certificate-is-never-read", client_certificate,
         {"client_tls_cert": ABSENT, "client_tls_key": ABSENT}),
    *(Case("3", f"refused-{'-'.join(written)}-{number}", partial(write, **written),
           Refused(InvalidRequest, text)) for number, (written, text) in enumerate(UNUSABLE)),
    Case("2", "left-out-fields-stay", kept_beside, {"url": "ldap://dc2", "userdn": "dc=x", "userattr": "uid"}),
    Case("3", "a-failed-write-changes-nothing", unchanged_by_failure, {"userdn": "dc=x", "token_type": "default"}),
    Case("3", "warning-on-write-and-read", warned, [[_WARNED], [_WARNED]]),
    Case("1.2", "configuration-of-no-mount", lambda s: s.root.auth.ldap.read_configuration(mount_point="nothing"),
         Refused(InvalidPath, 'no handler for route "auth/nothing/config". route entry not found.')),
    Case("1.2", "configuration-without-token", lambda s: s.client().auth.ldap.read_configuration(mount_point=CORP),
         Refused(Forbidden, "permission denied")),
    Case("1.2", "configuration-with-small-rights",
         lambda s: s.person().auth.ldap.configure(mount_point=CORP, userdn="x"),
         Refused(Forbidden, "permission denied")),
)  # fmt: skip

# what is written, the key it is listed under
NAMES: Final = (
    ("Scientists", "scientists"), ("a/B", "a/b"), ("with  blank", "with blank"), ("100%", "100%"), ("a@b.c", "a@b.c"),
    ("CORP\\bob", "corp\\bob"), ("ÄRZTE", "ärzte"), ("dotted.name", "dotted.name"), ("a+b?c#d", "a+b?c#d"),
)  # fmt: skip


def group_named(site: Site, name: str) -> Any:
    ldap = site.ldap
    said = [ldap.create_or_update_group(name, policies=["Foo", " bar", "foo", ""]).status_code]
    found = [ldap.list_groups()["data"]["keys"], ldap.read_group(name.upper())["data"]]
    said += [ldap.delete_group(name.upper()).status_code, ldap.delete_group(name).status_code]
    return [said, *found, site.root.read(f"auth/ldap/groups/{quote(name)}")]


def user_named(site: Site, name: str) -> Any:
    ldap = site.ldap
    said = [ldap.create_or_update_user(name, policies=["b", "A", "b"], groups=["G1", " g2", "g1"]).status_code]
    found = [ldap.list_users()["data"]["keys"], ldap.read_user(name.upper())["data"]]
    said += [ldap.delete_user(name.upper()).status_code, ldap.delete_user(name).status_code]
    return [said, *found, site.root.list("auth/ldap/users")]


def replaced(site: Site) -> Any:
    site.ldap.create_or_update_group("ops", policies=["a"])
    site.ldap.create_or_update_group("ops")
    site.ldap.create_or_update_user("ada", policies=["a"], groups=["g"])
    site.ldap.create_or_update_user("ada", groups=["h"])
    return [site.ldap.read_group("ops")["data"], site.ldap.read_user("ada")["data"]]


def in_capitals(site: Site) -> Any:
    site.ldap.configure(case_sensitive_names=True)
    site.ldap.create_or_update_group("Ops", policies=["a"])
    site.ldap.create_or_update_group("ops", policies=["b"])
    site.ldap.delete_group("OPS")
    before = site.ldap.list_groups()["data"]["keys"]
    site.ldap.delete_group("ops")
    return [before, site.ldap.list_groups()["data"]["keys"], site.ldap.read_group("Ops")["data"]["policies"]]


def root_policy(site: Site) -> Any:
    site.ldap.create_or_update_user("ada", policies=["x", " ROOT"])
    return site.ldap.read_user("ada")["data"]["policies"]


def kept_alive(site: Site) -> Any:
    """The verb LIST again and again on one connection, other verbs between."""
    site.ldap.create_or_update_group("ops", policies=["a"])
    return [(site.ldap.list_groups()["data"]["keys"], site.ldap.read_group("ops")["data"]) for _ in range(3)]


def in_old_words(site: Site) -> Any:
    """``client.write``, ``read``, ``list`` and ``delete``."""
    _ = site.ldap
    site.root.write("auth/ldap/users/ada", policies="a,b")
    found = [site.root.read("auth/ldap/users/ada")["data"], site.root.list("auth/ldap/users")["data"]]
    site.root.delete("auth/ldap/users/ada")
    return [*found, site.root.read("auth/ldap/users/ada"), site.root.list("auth/ldap/users")]


MAPPINGS: Final = (
    *(Case("2", f"group-name-{number}", partial(group_named, name=name),
           [[204, 204, 204], [kept], {"policies": ["bar", "foo"]}, None]) for number, (name, kept) in enumerate(NAMES)),
    *(Case("2", f"user-name-{number}", partial(user_named, name=name),
           [[204, 204, 204], [kept], {"policies": ["a", "b"], "groups": "g1,g2"}, None])
      for number, (name, kept) in enumerate(NAMES)),
    Case("2", "a-write-replaces", replaced, [{"policies": []}, {"policies": [], "groups": "h"}]),
    Case("2", "case-sensitive-names", in_capitals, [["Ops", "ops"], ["Ops"], ["a"]]),
    Case("2", "root-is-alone", root_policy, ["root"]),
    Case("12", "policies-must-be-a-list", lambda s: s.ldap.create_or_update_group("x", policies="a"),
         Refused(ParamValidationError, '"policies" argument must be')),
    Case("1.2", "no-groups", lambda s: s.ldap.list_groups(), Refused(InvalidPath)),
    Case("1.2", "no-users", lambda s: s.ldap.list_users(), Refused(InvalidPath)),
    Case("1.2", "absent-group", lambda s: s.ldap.read_group("x"), Refused(InvalidPath)),
    Case("1.2", "absent-user", lambda s: s.ldap.read_user("x"), Refused(InvalidPath)),
    Case("2", "absent-group-is-deleted", lambda s: s.ldap.delete_group("x"), 204),
    Case("2", "absent-user-is-deleted", lambda s: s.ldap.delete_user("x"), 204),
    Case("2", "declared-groups", lambda s: s.root.auth.ldap.list_groups(mount_point=CORP),
         {"data": {"keys": ["engineers", "scientists"]}}),
    Case("2", "declared-user", lambda s: s.root.auth.ldap.read_user("tesla", mount_point=CORP),
         {"data": {"groups": "engineers", "policies": ["zoobar"]}}),
    Case("1", "list-on-a-kept-connection", kept_alive, [(["ops"], {"policies": ["a"]})] * 3),
    Case("12", "generic-calls", in_old_words, [{"policies": ["a", "b"], "groups": ""}, {"keys": ["ada"]}, None, None]),
    Case("1.2", "list-without-token", lambda s: s.client().auth.ldap.list_groups(mount_point=CORP),
         Refused(Forbidden, "permission denied")),
    Case("1.2", "list-with-small-rights", lambda s: s.person().auth.ldap.list_users(mount_point=CORP),
         Refused(Forbidden, "permission denied")),
)  # fmt: skip

_WRONG: Final = Refused(InvalidRequest, "ldap operation failed: failed to bind as user")


def login(name: str, password: str = PASSWORD, **options: Any) -> Callable[[Site], Any]:
    return lambda site: site.client().auth.ldap.login(name, password, **{"mount_point": CORP, **options})


def login_to(site: Site, **written: Any) -> Any:
    """A login at a mount that was made and configured through the API."""
    _ = site.people
    if written:
        site.ldap.configure(**written)
    return site.client().auth.ldap.login("boole", PASSWORD)


def mapped_as_the_reference_says(site: Site) -> Any:
    site.people.create_or_update_user("tesla", groups=["engineers"], policies=["zoobar"])
    return site.client().auth.ldap.login("tesla", PASSWORD)


def refusal(site: Site, name: str) -> type[Exception]:
    """Why a wrong password is none; a client has no token then."""
    client = site.client()
    try:
        client.auth.ldap.login(name, "wrong")
    except VaultError as refused:
        assert client.token is None
        return type(refused)
    raise AssertionError(f"{name} logged in")


def locked(site: Site, name: str, password: str = PASSWORD) -> Any:
    """After three wrong passwords, where the mount is tuned to lock at three."""
    _ = site.people
    site.root.sys.tune_auth_method("ldap", user_lockout_config={"lockout_threshold": "3"})
    assert [refusal(site, name) for _ in range(3)] == [InvalidRequest] * 3
    return site.client().auth.ldap.login(name, password)


def own_token(site: Site) -> Any:
    """The client takes the token of a login, unless it is told not to."""
    client = site.client()
    first = client.auth.ldap.login("tesla", PASSWORD, mount_point=CORP)["auth"]
    second = client.auth.ldap.login(" Tesla ", PASSWORD, use_token=False, mount_point=CORP)["auth"]
    same = second["entity_id"] == first["entity_id"]
    return [client.token == first["client_token"] != second["client_token"], same, client.is_authenticated()]


def wrapped(site: Site) -> Any:
    """What ``vault login -wrap-ttl=5m`` does."""
    path = f"/v1/auth/{CORP}/login/tesla"
    answer = site.client().login(path, use_token=False, json={"password": PASSWORD}, wrap_ttl="5m0s")
    hidden = site.client(answer["wrap_info"]["token"]).sys.unwrap()["auth"]
    assert hidden["accessor"] == answer["wrap_info"]["wrapped_accessor"]
    return [answer["auth"], answer["wrap_info"]["creation_path"], answer["wrap_info"]["ttl"], hidden["policies"]]


LOGINS: Final = (
    Case("2", "login", login("einstein"),
         {"lease_id": "", "renewable": False, "lease_duration": 0, "data": {}, "wrap_info": None, "warnings": None,
          "auth": {"client_token": service_token, "accessor": accessor, "policies": ["bar", "default", "foo"],
                   "token_policies": ["bar", "default", "foo"], "lease_duration": 2764800, "renewable": True,
                   "entity_id": bool, "token_type": "service", "orphan": True, "mfa_requirement": None,
                   "num_uses": 0}}),
    Case("2", "metadata-is-the-name-alone",
         lambda s: login("einstein")(s)["auth"]["metadata"] == {"username": "einstein"},
         True),
    Case("6", "groups-in-whatever-case", login("boole"), {"auth": {"policies": ["bar", "default", "foo", "foobar"]}}),
    Case("6", "own-groups-and-policies", login("tesla"),
         {"auth": {"policies": ["default", "foobar", "zoobar"]},
          "warnings": lambda said: "no LDAP groups found" in said[0]}),
    Case("6", "the-same-written-through-the-api", mapped_as_the_reference_says,
         {"auth": {"policies": ["default", "foobar", "zoobar"], "metadata": {"username": "tesla"}}}),
    Case("4", "name-in-capitals-and-blanks", login("  Einstein "), {"auth": {"metadata": {"username": "einstein"}}}),
    Case("12", "two-dots-in-a-name", login("x/../einstein"), {"auth": {"metadata": {"username": "einstein"}}}),
    Case("4", "wrong-password", login("einstein", "wrong"), _WRONG),
    Case("14", "unknown-name", login("nobody", "wrong"), _WRONG),
    Case("14", "injected-name", login("einstein,ou=Users", PASSWORD), _WRONG),
    Case("14", "wildcard-as-name", login("*", PASSWORD), _WRONG),
    Case("4", "empty-password", login("einstein", ""),
         Refused(InvalidRequest, "password cannot be of zero length when passwordless binds are being denied")),
    Case("14", "empty-password-where-allowed", lambda s: [
        s.people.configure(deny_null_bind=False), login("boole", "", mount_point="ldap")(s)],
         Refused(InvalidRequest, "password cannot be of zero length")),
    Case("1", "nul-in-a-name", login("a\x00b"), Refused(InvalidRequest, "non-printable")),
    Case("1.2", "login-at-no-mount", login("einstein", mount_point="nothing"), Refused(Forbidden, "permission denied")),
    Case("4.2", "login-at-a-mount-not-configured", lambda s: [s.ldap, login("einstein", mount_point="ldap")(s)],
         _WRONG),
    Case("4.5", "login-without-a-directory", lambda s: [
        s.people.configure(url="ldap://127.0.0.1:1"), login("einstein", mount_point="ldap")(s)],
         Refused(InvalidRequest, "error connecting to host")),
    Case("4", "local-people-at-another-mount", login("einstein", mount_point="local"), _WRONG),
    Case("7", "locked", lambda s: locked(s, "curie"), Refused(Forbidden, "permission denied")),
    Case("7", "locked-in-another-spelling", lambda s: locked(s, " Noether", PASSWORD),
         Refused(Forbidden, "permission denied")),
    Case("7", "unknown-names-lock-alike", lambda s: locked(s, "nobody-2"), Refused(Forbidden, "permission denied")),
    Case("12", "the-token-is-the-clients", own_token, [True, True, True]),
    Case("10", "wrapped-login", wrapped, [None, "auth/corp/login/tesla", 300, ["default", "foobar", "zoobar"]]),
    Case("2", "a-stale-token-does-not-count",
         lambda s: s.client("hvs.stale").auth.ldap.login("boole", PASSWORD, mount_point=CORP),
         {"auth": {"client_token": service_token}}),
    Case("6", "token_ttl", lambda s: login_to(s, token_ttl="1h"), {"auth": {"lease_duration": 3600}}),
    Case("6", "capped-by-token_max_ttl", lambda s: login_to(s, token_max_ttl="1h"),
         {"auth": {"lease_duration": 3600}, "warnings": lambda said: "exceeded the effective max_ttl" in said[0]}),
    Case("6", "token_period", lambda s: login_to(s, token_period="10m", token_ttl="1h"),
         {"auth": {"lease_duration": 600}}),
    Case("6", "token_explicit_max_ttl", lambda s: login_to(s, token_explicit_max_ttl="5m"),
         {"auth": {"lease_duration": 300}}),
    Case("6", "token_policies", lambda s: login_to(s, token_policies=["Extra"], token_no_default_policy=True),
         {"auth": {"policies": ["bar", "extra", "foo", "foobar"]}}),
    Case("6", "token_num_uses", lambda s: login_to(s, token_num_uses=3), {"auth": {"num_uses": 3}}),
    Case("6", "batch", lambda s: login_to(s, token_type="batch"),
         {"auth": {"token_type": "batch", "accessor": "", "renewable": False,
                   "client_token": lambda text: text.startswith("hvb.")}}),
    Case("6", "root-is-refused", lambda s: login_to(s, token_policies=[" Root"]),
         Refused(InvalidRequest, "auth methods cannot create root tokens")),
    Case("4.1", "from-outside-its-networks", lambda s: login_to(s, token_bound_cidrs=["10.0.0.0/8"]),
         Refused(Forbidden, "permission denied")),
)  # fmt: skip
CASES: Final = (*CONFIGURATION, *MAPPINGS, *LOGINS)
# Every argument of hvac's configure() stands in a row.
WRITTEN: Final = {name for written, _ in (*FIELDS, *UNUSABLE) for name in written} | {"deny_null_bind"}
