"""What is said of the Conjur dialect's settings, and where (configuration.md 1.6, 1.7; conjur.md 3, 4, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_lookup import load_text, said
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import gateway
from gateway.config.load import ConfigurationError, load

SERVER = '{ name = %s, host = h, search_base_dns = ["dc=x"], bind_dn = "cn=s,dc=x", bind_password = p%s }'
HEAD = f"""servers = [{SERVER % ("corp", "")}, {SERVER % ("lab/eu", ", recheck = none")}]
users = [{{ username = ada, disabled = true }}]
"""
S = "conjur.services"
NO_KEYS = (
    "nobody gets an API key: the server has no service account (recheck = none), so nobody could tell whether the owner "
    "is still there; clients must send the password"
)

ROWS: list[tuple[str, str, list[str]]] = [
    ("1.6 all", "account = a, services.corp.allow = all", []),
    ("1.6 off", "token_lifetime = 5h", []),
    ("5 a list", 'account = a, services.corp.allow = ["user:nina", "user:corp/nina", "group:ops", "group:cn=a/b,dc=x", "user:de/x"]', []),
    ("5 a server's name has no case", 'account = a, services.CORP.allow = ["user:Corp/nina"]', []),
    ("1.6 allow is needed", "account = a, services.corp {}", [f"error: {S}.corp.allow: is needed: all, or a list of user:NAME and group:NAME"]),
    ("1.6 what it may be", "account = a, services.corp.allow = [everybody, 'user:', 'host:x']", [f"error: {S}.corp.allow.{index}: expected all, user:NAME, group:NAME or group:DN" for index in range(3)]),
    ("all and more", "account = a, services.corp.allow = [all, 'user:nina']", [f"warning: {S}.corp.allow.0: is everybody, so the rest of the list has no effect"]),
    ("5 of another server", "account = a, services.corp.allow = ['user:lab/eu/otto', 'group:local/ops', 'user:ada']", [f"warning: {S}.corp.allow.0: is of lab/eu, and the service is for people of corp", f"warning: {S}.corp.allow.1: is of local, and the service is for people of corp"]),
    ("a group of a server that is none", "account = a, services.corp.allow = ['group:crop/ops']", [f"warning: {S}.corp.allow.0: there is no server crop"]),
    ("1.6 no such server", "account = a, services.crop.allow = all", [f"error: {S}.crop: there is no server crop"]),
    ("1.6 no account", "services.corp.allow = all", ["warning: conjur.account: is not set, so there is no service: clients name it (CONJUR_ACCOUNT) with each request"]),
    ("DECISIONS 11 no re-check", 'account = a, services."lab/eu".allow = all', [f"warning: {S}.lab/eu: {NO_KEYS}"]),
    ("1 an account is one segment", 'account = "a/b"', ["error: conjur.account: expected a name without blanks, / and :"]),
    ("6.1 up to 5 hours", "token_lifetime = 18001", ["error: conjur.token_lifetime: expected at most 18000"]),
    ("6.1 whole seconds", "token_lifetime = 0", ["error: conjur.token_lifetime: expected at least 1"]),
    ("2 X.Y.Z", "version = 1.2", ["error: conjur.version: expected text; write it in quotes"]),
    ("2 X.Y.Z", 'version = "1.2"', ["error: conjur.version: expected a version such as 1.21.0"]),
    ("2 X.Y.Z", 'version = "1.21.0"', []),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "text", "expected"), ROWS, ids=[f"{row[0]}: {row[1][:50]}" for row in ROWS])
def test_settings(tmp_path: Path, proves: str, text: str, expected: list[str]) -> None:
    assert said(tmp_path, HEAD + "conjur { " + text.replace("'", '"') + " }") == expected, proves


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


SIGNING_KEYS = [
    ("1.6 RSA", lambda: pem(rsa.generate_private_key(65537, 2048)), ""),
    ("1.6 too short", lambda: pem(rsa.generate_private_key(65537, 1024)), "is an RSA key of 1024 bits: at least 2048 are needed"),
    ("1.6 another kind", lambda: pem(ec.generate_private_key(ec.SECP256R1())), "is no RSA key, which Conjur's tokens are signed with"),
    ("no key", lambda: "planted-secret", "is no private key that can be read: an RSA key in PEM is needed"),
]


@pytest.mark.parametrize(("proves", "make", "error"), SIGNING_KEYS, ids=[row[0] for row in SIGNING_KEYS])
@pytest.mark.parametrize("way", ["SLOSILO_KEY", "SLOSILO_KEY_FILE", "CLEARML__conjur__signing_key"])
def test_signing_keys(tmp_path: Path, proves: str, make, error: str, way: str) -> None:  # type: ignore[no-untyped-def]
    """conjur.md 4: the variables of Conjur 4 give the key, by value or by file; none of it is shown."""
    value = text = make()
    if way.endswith("_FILE"):
        (tmp_path / "key.pem").write_text(text)
        value = str(tmp_path / "key.pem")
    environment = {way: value, "CLEARML__users__ada__disabled": "true"}
    if not error:
        key = load([], environment, working_directory=tmp_path).configuration.conjur.signing_key
        assert key.reveal().strip() == text.strip(), proves
        return
    with pytest.raises(ConfigurationError) as caught:
        load([], environment, working_directory=tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [f"{way}: conjur.signing_key: {error}"]


FILTERS = [
    ("4 the default's form", "(&(objectClass=posixAccount)(uid=%s))", "(&(objectClass=posixAccount)(uid=%s))"),
    ("4 a percent sign", "(&(description=50%%)(uid=%s))", "(&(description=50\\25)(uid=%s))"),
    ("4 a percent sign before a name", "(uid=%%%s)", "(uid=\\25%s)"),
    ("3 none", "(uid=nina)", None),
    ("3 two", "(|(uid=%s)(mail=%s))", None),
    ("3 a percent sign is none", "(uid=%%s)", None),
    ("3 another directive", "(&(uid=%s)(x=%d))", None),
    ("3 a percent sign at the end", "(&(uid=%s)(x=5%", None),
    ("3 our own placeholder is none", "(uid={0})", None),
]


@pytest.mark.parametrize(("proves", "text", "expected"), FILTERS, ids=[row[0] for row in FILTERS])
def test_templates(tmp_path: Path, proves: str, text: str, expected: str | None) -> None:
    """conjur.md 3, 4: exactly one %s; Conjur answers each login with 422 otherwise, the gateway does not start."""
    environment = {"LDAP_URI": "ldap://h", "LDAP_BASE": "dc=x", "LDAP_FILTER": text}
    if expected is not None:
        assert load([], environment, working_directory=tmp_path).configuration.servers[0].search_filter == expected, proves
        return
    with pytest.raises(ConfigurationError) as caught:
        load([], environment, working_directory=tmp_path)
    (told,) = [str(problem) for problem in caught.value.problems if problem.severity == "error"]
    assert told == "LDAP_FILTER: servers.ldap.search_filter: needs exactly one %s, for the user name, and %% for a percent sign"


AUTHENTICATORS = [
    ("4 only authn", "authn", True, []),
    ("4 both", "authn, authn-ldap/LDAP", True, ["ldap"]),
    ("4 without authn it is off", "authn-ldap/ldap", False, ["ldap"]),
    ("4 those of others", "authn,authn-k8s/prod,authn-ldap", True, []),
    ("4 nothing", "", True, []),
]


@pytest.mark.parametrize(("proves", "text", "alias", "services"), AUTHENTICATORS, ids=[row[0] for row in AUTHENTICATORS])
def test_authenticators(tmp_path: Path, proves: str, text: str, alias: bool, services: list[str]) -> None:
    environment = {
        "LDAP_URI": "ldap://h", "LDAP_BASE": "dc=x", "CONJUR_AUTHENTICATORS": text, "CLEARML__conjur__account": "myorg",
        "CLEARML__conjur__services__ldap__allow": "all",
    }  # fmt: skip
    if not services:
        del environment["CLEARML__conjur__services__ldap__allow"]
    conjur = load([], environment, working_directory=tmp_path).configuration.conjur
    assert (conjur.authn_alias, list(conjur.services)) == (alias, services), proves


def test_the_whole_of_conjur_4(tmp_path: Path) -> None:
    """conjur.md 4: each variable of the first column."""
    environment = {
        "LDAP_URI": "ldaps://dc1.example.com:1636", "LDAP_BASE": "ou=people,dc=example,dc=com",
        "LDAP_BINDDN": "cn=svc,dc=example,dc=com", "LDAP_BINDPW": "p#\"' x",
    }  # fmt: skip
    (server,) = load([], environment, working_directory=tmp_path).configuration.servers
    assert (server.urls, server.search_base_dns) == (("ldaps://dc1.example.com:1636",), ("ou=people,dc=example,dc=com",))
    assert (server.bind_dn, server.bind_password.reveal()) == ("cn=svc,dc=example,dc=com", "p#\"' x")
    assert not server.ssl_skip_verify, "4: certificates are always verified"


ALLOW, NEEDED = "conjur.services.ldap.allow", "is needed: all, or a list of user:NAME and group:NAME"
NO_ACCOUNT = "conjur.account: is not set, so there is no service: clients name it (CONJUR_ACCOUNT) with each request"
# variables besides LDAP_URI and CONJUR_AUTHENTICATORS; what is said, in the words of who wrote them
IN_THEIR_WORDS: list[tuple[dict[str, str], list[str]]] = [
    ({}, [
        "LDAP_URI: servers.ldap.search_base_dns: is needed (LDAP_BASE)",
        f"CONJUR_AUTHENTICATORS: {NO_ACCOUNT} (CLEARML__conjur__account)",
        f"CONJUR_AUTHENTICATORS: {ALLOW}: {NEEDED} (CLEARML__conjur__services__ldap__allow)",
    ]),
    ({"LDAP_BASE": "dc=x", "CLEARML__conjur__account": "a", "CLEARML__conjur__services__ldap__allow": "[]"},
     [f"CLEARML__conjur__services__ldap__allow: {ALLOW}: {NEEDED}"]),
    ({"CLEARML__conjur__account": "a", "CLEARML__conjur__services__ldap__allow": "all",
      "CLEARML__apiserver__auth__fixed_user_providers__ldap__attributes__name": "cn"},
     ["CLEARML__apiserver__auth__fixed_user_providers__ldap__attributes__name: servers.ldap.search_base_dns: is needed (CLEARML__apiserver__auth__fixed_user_providers__ldap__base_dn)"]),
    ({"LDAP_BASE": "nonsense", "CLEARML__conjur__account": "a", "CLEARML__conjur__services__ldap__allow": "all"},
     ["LDAP_BASE: servers.ldap.search_base_dns.0: "]),
]  # fmt: skip


@pytest.mark.parametrize(("more", "expected"), IN_THEIR_WORDS, ids=range(len(IN_THEIR_WORDS)))
def test_messages_name_conjurs_variables(tmp_path: Path, more: dict[str, str], expected: list[str]) -> None:
    """configuration.md 1.7: who knows these variables is told of them, and of ours where there are none."""
    environment = {"LDAP_URI": "ldaps://h", "CONJUR_AUTHENTICATORS": "authn,authn-ldap/ldap", **more}
    with pytest.raises(ConfigurationError) as caught:
        load([], environment, working_directory=tmp_path)
    told = [str(problem) for problem in caught.value.problems]
    assert [text[: len(start)] for text, start in zip(told, expected, strict=True)] == expected, told


def test_the_version_is_ours(tmp_path: Path) -> None:
    assert load_text(tmp_path, HEAD, "a.conf").configuration.conjur.version == gateway.__version__
