"""ClearML's spellings in every layer: the rows of spellings.toml, and what surrounds them."""

from __future__ import annotations

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from config_lookup import CLEAR, SERVER, at, load_text, problems_of

from gateway.config.load import DEFAULT, ConfigurationError, load
from gateway.config.schema import PLAIN_FORM, plain_form

LDAP = "apiserver.auth.fixed_user_providers.ldap"
L = "CLEARML__apiserver__auth__fixed_user_providers__ldap__"
ROWS = tomllib.loads(Path(__file__).with_name("spellings.toml").read_text(encoding="utf-8"))["row"]
DOCUMENTED = {
    "CLEARML__apiserver__auth__fixed_users__enabled": "true",
    "CLEARML__apiserver__auth__fixed_users__provider": "ldap",
    L + "server": "ipa.demo1.freeipa.org",
    L + "base_dn": "dc=demo1,dc=freeipa,dc=org",
    L + "default_company": "d1bd92a3b039400cbafc60a7a5b1e52b",
    "CLEARML__secure__fixed_user_providers__ldap__dn": "uid=admin,cn=users,dc=demo1",
    "CLEARML__secure__fixed_user_providers__ldap__password": "Secret123",
}
"""The set-up of references/clearml-ldap.md."""


def row_values(row: dict[str, Any], certificate: Path) -> tuple[dict[str, Any], Any]:
    """Spelled keys with their values, whole enough to load; and what the row's key holds then."""
    values: dict[str, Any] = {f"{LDAP}.server": "h", f"{LDAP}.base_dn": "dc=x"} | row.get("with", {})
    if row["key"] == "servers.ldap.bind_password":
        values["secure.fixed_user_providers.ldap.dn"] = "cn=svc"
    text = json.dumps([row["value"], row["holds"]]).replace("{directory}", str(certificate.parent))
    value, holds = json.loads(text)
    return values | {row["spelled"].replace("L.", f"{LDAP}.", 1): value}, holds


def as_variable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['spelled']}={row['value']}")
def test_row_from_variables(row: dict[str, Any], quoted: bool, certificate: Path) -> None:
    values, holds = row_values(row, certificate)
    texts = {f"CLEARML__{key.replace('.', '__')}": as_variable(value) for key, value in values.items()}
    if quoted:
        texts = {name: json.dumps(text) for name, text in texts.items()}
    assert at(load([], texts).configuration, row["key"]) == holds


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['spelled']}={row['value']}")
def test_row_from_a_file(row: dict[str, Any], certificate: Path, tmp_path: Path) -> None:
    values, holds = row_values(row, certificate)
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    assert at(load_text(tmp_path, text, "clearml.conf").configuration, row["key"]) == holds


@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
def test_the_documented_configuration(quoted: bool) -> None:
    """Acceptance 3 of the spine: by environment alone, with and without the literal quotes."""
    environment = {name: f'"{value}"' if quoted else value for name, value in DOCUMENTED.items()}
    snapshot = load([], environment | {L + "admin_users": '["user1_id","user2_id"]'})
    server = snapshot.configuration.servers[0]
    assert server.endpoints == (("ipa.demo1.freeipa.org", 389, "none"),)
    assert server.search_filter == "(&(objectClass=person)(uid={0}))"
    assert server.attributes.emails == ("mail", "email")
    assert server.attributes.name == "displayName"
    assert server.search_base_dns == ("dc=demo1,dc=freeipa,dc=org",)
    assert (server.mode, server.bind_password.reveal()) == ("service", "Secret123")
    assert server.clearml.admin_users == ("user1_id", "user2_id")
    assert snapshot.configuration.clearml.registration == "open"
    assert [CLEAR in str(warning) for warning in snapshot.warnings] == [True]
    place = snapshot.origin("servers.ldap.bind_password").place
    assert place == "CLEARML__secure__fixed_user_providers__ldap__password"
    assert snapshot.origin("servers.ldap.search_filter") is DEFAULT


def test_whitelist_without_default_company() -> None:
    """DECISIONS 7: only where ClearML's keys made the server and named no company; loudly."""
    environment = {name: value for name, value in DOCUMENTED.items() if "default_company" not in name}
    snapshot = load([], environment)
    assert snapshot.configuration.clearml.registration == "whitelist"
    warnings = [warning for warning in snapshot.warnings if CLEAR not in warning.message]
    assert [warning.place for warning in warnings] == [L + "server"]
    for name, value in (("clearml__registration", "open"), ("servers__ldap__clearml__default_company", "x")):
        assert load([], environment | {f"CLEARML__{name}": value}).configuration.clearml.registration == "open"


def test_a_native_server_is_open() -> None:
    assert load([], SERVER).configuration.clearml.registration == "open"


def test_a_spelling_over_a_file_does_not_make_the_server(tmp_path: Path) -> None:
    """The server of a Grafana file stays one of Grafana's kind when a variable moves it to another host."""
    text = '[[servers]]\nhost="a"\nport=1\nsearch_filter="(cn=%s)"\nsearch_base_dns=["dc=x"]\n'
    snapshot = load_text(tmp_path, text, "ldap.toml", **{L + "server": "ldaps://b"})
    server = snapshot.configuration.servers[0]
    assert server.endpoints == (("b", 636, "ldaps"),)
    assert server.attributes.email == ""
    assert snapshot.configuration.clearml.registration == "open"


CLASHES = [
    ({L + "mail": "a", L + "attributes__mail": "b"}, "two ClearML spellings"),
    ({L + "case_sensitive": "true", L + "groups__case_sensitive": "false"}, "groups and outside"),
    ({"CLEARML__secure__fixed_user_providers__ldap__dn": "cn=a", "CLEARML__servers__ldap__bind_dn": "cn=b"}, "ours"),
    ({"CLEARML__secure__auth__token_secret": "a" * 20, "CLEARML__clearml__token_secret": "b" * 20}, "secrets"),
]


@pytest.mark.parametrize(("clash", "proves"), CLASHES)
def test_clash_within_a_layer(clash: dict[str, str], proves: str) -> None:
    """configuration.md 1.7: two spellings of one key with different values name both places."""
    with pytest.raises(ConfigurationError, match="means the same key as") as caught:
        load([], DOCUMENTED | clash if "dn" not in proves else clash)
    text = str(caught.value)
    assert all(name in text for name in clash), proves
    assert "aaaa" not in text
    assert "bbbb" not in text


def test_equal_values_do_not_clash() -> None:
    load([], DOCUMENTED | {L + "mail": "mail", L + "attributes__mail": "mail"})


def test_layers_do_not_clash(tmp_path: Path) -> None:
    """DECISIONS 22: across layers the later one wins, however it is spelled."""
    later = {"CLEARML__secure__auth__token_secret": "x" * 20}
    snapshot = load_text(tmp_path, 'clearml { token_secret = "0123456789abcdef0" }', "a.conf", **later)
    assert at(snapshot.configuration, "clearml.token_secret") == "x" * 20


def test_clash_in_a_file_names_both_keys(tmp_path: Path) -> None:
    text = f'{LDAP} {{ server = h, base_dn = "dc=x", mail = a, attributes.mail = b }}'
    assert problems_of(tmp_path, text, "a.conf")[:1] == [
        f"{LDAP}.mail: means the same key as {tmp_path}/a.conf:1:95 ({LDAP}.attributes.mail), which has another value"
    ]


def test_another_provider() -> None:
    with pytest.raises(ConfigurationError, match=r"fixed_users\.provider: expected ldap"):
        load([], {"CLEARML__apiserver__auth__fixed_users__provider": "saml"})


def test_custom_attribute_close_to_a_key() -> None:
    """configuration.md 1.7: any other key is an attribute, with a warning when it is close to a known one."""
    snapshot = load([], DOCUMENTED | {L + "serch_filter": "x", L + "phone": "telephoneNumber"})
    assert [warning.message for warning in snapshot.warnings if CLEAR not in warning.message] == [
        'taken as a further attribute; did you mean "search_filter"?'
    ]
    assert snapshot.configuration.servers[0].attributes.extra == {"serch_filter": "x", "phone": "telephoneNumber"}


def test_spelled_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from file\n")
    environment = {name: value for name, value in DOCUMENTED.items() if not name.endswith("password")}
    environment["CLEARML__secure__fixed_user_providers__ldap__password_FILE"] = str(tmp_path / "password")
    assert at(load([], environment).configuration, "servers.ldap.bind_password") == "from file"


def test_fixed_users_in_clear_text(tmp_path: Path) -> None:
    """clearml.md 5: names and plain passwords; in memory only a keyed digest of the password remains."""
    text = """apiserver.auth.fixed_users {
      enabled = true
      users = [
        { username = jane, password = "pa ss", name = "Jane Doe" }
        { username = root, password = x, admin = true }
      ]
    }"""
    users = load_text(tmp_path, text, "apiserver.conf").configuration.users
    assert [(user.username, user.name, user.clearml_role) for user in users] == [
        ("jane", "Jane Doe", ""),
        ("root", "", "admin"),
    ]
    held = users[0].password_hash.reveal()
    assert held.startswith(PLAIN_FORM)
    assert "pa ss" not in held
    salt = base64.b64decode(held.removeprefix(PLAIN_FORM).split("$")[0])
    assert plain_form("pa ss", salt).reveal() == held
    again = load_text(tmp_path, text, "apiserver.conf").configuration.users
    assert again == users, "a reload does not take them for changed"
    assert users[0].password_hash.reveal() != load_text(tmp_path, text.replace("jane", "june"), "b.conf").configuration.users[0].password_hash.reveal()


def test_fixed_users_with_hashes() -> None:
    """clearml.md 5: pass_hashed means base64 of the bcrypt hash; the flag may stand in another layer."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    users = [{"username": "jane", "password": base64.b64encode(hashed.encode()).decode(), "name": "Jane"}]
    environment = {
        "TRAINS__apiserver__auth__fixed_users__users": json.dumps(users),
        "CLEARML__apiserver__auth__fixed_users__pass_hashed": "true",
    }
    assert at(load([], environment).configuration, "users.jane.password_hash") == hashed


@pytest.mark.parametrize("password", ["$2b$04$abc", "c2VjcmV0", "plain", ""])
def test_fixed_users_with_bad_hashes(password: str) -> None:
    environment = {
        "CLEARML__apiserver__auth__fixed_users__users": json.dumps([{"username": "jane", "password": password}]),
        "CLEARML__apiserver__auth__fixed_users__pass_hashed": "true",
    }
    with pytest.raises(ConfigurationError, match="base64 of a bcrypt hash"):
        load([], environment)


def test_memory_form_is_not_read_from_configuration(tmp_path: Path) -> None:
    """Whoever could write it would choose a password that is checked by a fast digest."""
    form = plain_form("x", b"salt" * 4).reveal()
    text = f'users = [ {{ username = "eve", password_hash = "{form}" }} ]'
    assert problems_of(tmp_path, text, "a.conf") == [
        "users.eve.password_hash: expected an argon2id ($argon2id$...) or bcrypt ($2b$...) hash, not a password"
    ]
    with pytest.raises(ConfigurationError):
        load([], {"CLEARML__users__eve__password_hash": form})


def test_keys_without_effect_are_named() -> None:
    environment = {
        "CLEARML__apiserver__auth__cookies__httponly": "true",
        "CLEARML__apiserver__auth__cookies__max_age": "99999999999",
        "CLEARML__services__auth__default_groups__a__assignable": "true",
    }
    assert [warning.message for warning in load([], environment | SERVER).warnings] == ["has no effect here"] * 3


def test_ldap_without_server() -> None:
    with pytest.raises(ConfigurationError, match=r"servers\.ldap\.host: is needed"):
        load([], {L + "base_dn": "dc=x"})


def test_bad_server() -> None:
    for server in ("http://h", "ldap://", "ldap://h/dc=x", "h:99999", "ldap://u@h", '""'):
        with pytest.raises(ConfigurationError) as caught:
            load([], DOCUMENTED | {L + "server": server})
        assert caught.value.problems[0].place == L + "server"
