"""Vault's names of fields inside a server block (vault.md 3, configuration.md 1.7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.config.schema import Server
from gateway.config.vault_fields import FIELDS, VAULT
from tests.config.config_lookup import at, load_text, said

NEEDED = 'url = "ldap://dc1.example.com", userdn = "ou=people,dc=x"'
DOCUMENTED = """
    url starttls insecure_tls certificate client_tls_cert client_tls_key tls_min_version tls_max_version
    binddn bindpass userdn userattr userfilter discoverdn deny_null_bind upndomain groupdn groupfilter groupattr
    anonymous_group_search use_token_groups case_sensitive_names username_as_alias use_pre111_group_cn_behavior
    dereference_aliases max_page_size request_timeout connection_timeout enable_samaccountname_login alias_metadata
    password_policy rotation_period rotation_window rotation_schedule disable_automated_rotation rotation_url schema
    rotation_credential_type token_ttl token_max_ttl token_explicit_max_ttl token_period token_policies
    token_bound_cidrs token_no_default_policy token_num_uses token_type token_strictly_bind_ip policies ttl max_ttl
    period bound_cidrs
"""
"""The fields of vault.md 3, the aliases of before 1.2 among them."""

# Vault's field, value as JSON, our key, its value; each row is one of vault.md 3
ROWS: list[tuple[str, Any, str, Any]] = [
    ("url", "LDAP://DC1.example.com, ldaps://dc2.example.com:3269,", "urls", ["ldap://dc1.example.com", "ldaps://dc2.example.com:3269"]),
    ("starttls", True, "start_tls", True),
    ("insecure_tls", True, "ssl_skip_verify", True),
    ("tls_min_version", "tls10", "min_tls_version", "TLS1.0"),
    ("tls_min_version", "tls13", "min_tls_version", "TLS1.3"),
    ("tls_max_version", "TLS13", "max_tls_version", "TLS1.3"),
    ("connection_timeout", "7s", "timeout", 7.0),
    ("connection_timeout", 7, "timeout", 7.0),
    ("request_timeout", 15, "request_timeout", 15.0),
    ("binddn", "cn=svc,dc=x", "bind_dn", "cn=svc,dc=x"),
    ("bindpass", "pa#ss", "bind_password", "pa#ss"),
    ("discoverdn", True, "discover_dn", True),
    ("userdn", "ou=Users,dc=x", "user_dn", "ou=Users,dc=x"),
    ("userdn", "ou=Users,dc=x", "search_base_dns", ["ou=Users,dc=x"]),
    ("userattr", "sAMAccountName", "user_attr", "samaccountname"),
    ("userattr", "sAMAccountName", "attributes.username", "samaccountname"),
    ("userfilter", "(&(a=b)({{.UserAttr}}={{.Username}}))", "search_filter", "(&(a=b)({{.UserAttr}}={{.Username}}))"),
    ("upndomain", "example.com", "upn_domain", "example.com"),
    ("upndomain", "example.com", "attributes.username", "sAMAccountName"),
    ("enable_samaccountname_login", True, "samaccountname_login", True),
    ("groupdn", "ou=Groups,dc=x", "group_search_base_dns", ["ou=Groups,dc=x"]),
    ("groupdn", "", "group_bases", []),
    ("groupfilter", "(member={{.UserDN}})", "group_search_filter", "(member={{.UserDN}})"),
    ("groupattr", "memberOf", "group_attr", "memberOf"),
    ("max_page_size", 500, "page_size", 500),
    ("anonymous_group_search", True, "anonymous_group_search", True),
    ("use_token_groups", True, "use_token_groups", True),
    ("case_sensitive_names", True, "case_sensitive_names", True),
    ("username_as_alias", True, "username_as_alias", True),
    ("use_pre111_group_cn_behavior", True, "use_pre111_group_cn_behavior", True),
    ("dereference_aliases", "always", "dereference_aliases", "always"),
    ("token_ttl", "1h", "vault.token_ttl", 3600.0),
    ("token_max_ttl", "2h", "vault.token_max_ttl", 7200.0),
    ("token_explicit_max_ttl", 60, "vault.token_explicit_max_ttl", 60.0),
    ("token_period", 60, "vault.token_period", 60.0),
    ("token_policies", ["a", "b"], "vault.token_policies", ["a", "b"]),
    ("token_bound_cidrs", ["10.0.0.0"], "vault.token_bound_cidrs", ["10.0.0.0"]),
    ("token_no_default_policy", True, "vault.token_no_default_policy", True),
    ("token_num_uses", 3, "vault.token_num_uses", 3),
    ("token_type", "batch", "vault.token_type", "batch"),
    ("token_type", "", "vault.token_type", "default"),
    ("token_strictly_bind_ip", True, "vault.token_strictly_bind_ip", True),
    ("policies", ["a"], "vault.token_policies", ["a"]),
    ("ttl", "1h", "vault.token_ttl", 3600.0),
    ("max_ttl", "1h", "vault.token_max_ttl", 3600.0),
    ("period", "1h", "vault.token_period", 3600.0),
    ("bound_cidrs", ["10.0.0.0/8"], "vault.token_bound_cidrs", ["10.0.0.0/8"]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "key", "expected"), ROWS)
@pytest.mark.parametrize("layer", ["json", "variable", "variables"])
def test_fields(tmp_path: Path, layer: str, field: str, value: Any, key: str, expected: Any) -> None:
    """The same in a file, in one variable for all servers, and in a variable of its own."""
    block = {"url": "ldap://dc1.example.com", "userdn": "ou=people,dc=x", field: value}
    if layer == "json":
        configuration = load_text(tmp_path, json.dumps({"servers": {"corp": block}}), "gateway.json").configuration
    elif layer == "variable":
        configuration = load([], {"CLEARML__servers": json.dumps([{"name": "corp", **block}])}).configuration
    else:
        texts = {name: text if isinstance(text, str) else json.dumps(text) for name, text in block.items()}
        configuration = load([], {f"CLEARML__servers__corp__{name}": text for name, text in texts.items()}).configuration
    assert at(configuration, f"servers.corp.{key}") == expected


def test_every_field_of_vault_is_known() -> None:
    """All of vault.md 3; what is called alike is a key of ours."""
    ours = set(Server.model_fields)
    documented = set(DOCUMENTED.split())
    assert documented - ours == set(VAULT.keys)
    assert ours.isdisjoint(FIELDS)


def test_defaults_are_those_of_vault(tmp_path: Path) -> None:
    """vault.md 3; and where the origin is shown, it is said that they come from the preset."""
    snapshot = load_text(tmp_path, f"servers.corp {{ {NEEDED} }}", "gateway.conf")
    (server,) = snapshot.configuration.servers
    assert (server.preset, server.mode, server.recheck) == ("vault", "direct", "none")
    assert (server.user_attr, server.timeout, server.request_timeout) == ("cn", 30.0, 90.0)
    assert (server.min_tls_version, server.max_tls_version) == ("TLS1.2", "TLS1.2")
    assert server.search_filter == "({{.UserAttr}}={{.Username}})"
    assert server.group_search_filter == "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
    assert (server.group_attr, server.group_bases, server.attributes.member_of) == ("cn", (), "")
    assert str(snapshot.origin("servers.corp.timeout")) == "preset vault"
    assert str(snapshot.origin("servers.corp.preset")) == "Vault's names of fields"
    assert snapshot.origin("servers.corp.user_dn").line == 1


def test_without_an_address_it_is_this_machine(tmp_path: Path) -> None:
    """vault.md 3: ``url`` is ``ldap://127.0.0.1`` by default."""
    (server,) = load_text(tmp_path, 'servers.corp.userdn = "dc=x"', "gateway.conf").configuration.servers
    assert server.endpoints == (("127.0.0.1", 389, "none"),)
    text = 'servers.corp { userdn = "dc=x", host = "dc1", use_ssl = true }'
    assert load_text(tmp_path, text, "gateway.conf").configuration.servers[0].endpoints == (("dc1", 636, "ldaps"),)


# a preset that somebody gives wins over the one that Vault's names imply, in whatever layer
@pytest.mark.parametrize(("text", "variables"), [
    (f'servers.corp {{ {NEEDED}, preset = "openldap" }}', {}),
    ('servers.corp { host = dc1, search_base_dns = ["dc=x"], preset = "openldap" }', {"userattr": "cn"}),
    (f"servers.corp {{ {NEEDED} }}", {"preset": "openldap"}),
    (f"servers.corp {{ {NEEDED} }}", {"preset": "openldap", "binddn": "cn=x"}),
])  # fmt: skip
def test_a_given_preset_wins(tmp_path: Path, text: str, variables: dict[str, str]) -> None:
    environment = {f"CLEARML__servers__corp__{name}": value for name, value in variables.items()}
    (server,) = load_text(tmp_path, text, "gateway.conf", **environment).configuration.servers
    assert (server.preset, server.timeout, server.attributes.name) == ("openldap", 10.0, "cn")


def test_layers_mix(tmp_path: Path) -> None:
    """A later layer may say in one world's words what an earlier one said in the other's."""
    text = 'servers.corp { host = dc1, bind_dn = "cn=a", bind_password = "x", search_base_dns = ["dc=x"] }'
    variables = {"url": "ldap://dc2", "bindpass": "y", "userdn": "dc=y", "starttls": "true"}
    environment = {f"CLEARML__servers__corp__{name}": value for name, value in variables.items()}
    snapshot = load_text(tmp_path, text, "gateway.conf", **environment)
    (server,) = snapshot.configuration.servers
    assert server.endpoints == (("dc2", 389, "starttls"),)
    assert (server.bind_dn, server.bind_password.reveal()) == ("cn=a", "y")
    assert (server.search_base_dns, server.user_dn) == (("dc=x",), "dc=y")
    (warning,) = snapshot.warnings
    name = warning.origin.place.removeprefix("CLEARML__servers__corp__")
    assert name in variables
    assert warning.path == f"servers.corp.{name}"
    assert "is Vault's name, and host is ours: the server has preset vault" in warning.message
    shown = [str(origin) for origin in snapshot.origins["servers", "corp", "bind_password"]]
    assert shown == ["CLEARML__servers__corp__bindpass", f"{tmp_path / 'gateway.conf'}:1:46"]


def test_secrets_from_files(tmp_path: Path) -> None:
    """configuration.md 1.1: every secret may stand in a file, or be a credential, under Vault's name too."""
    (tmp_path / "secret").write_text("s3cret\n")
    (server,) = load_text(
        tmp_path, f'servers.corp {{ {NEEDED}, binddn = "cn=a", bindpass_file = "secret" }}', "gateway.conf"
    ).configuration.servers
    assert (server.mode, server.bind_password.reveal()) == ("service", "s3cret")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "servers.corp.bindpass").write_text("other")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    text = f'servers.corp {{ {NEEDED}, binddn = "cn=a" }}'
    (server,) = load_text(tmp_path, text, "gateway.conf", **environment).configuration.servers
    assert server.bind_password.reveal() == "other"


# what is written besides NEEDED, what is said
SAID = [
    ("", []),
    ("deny_null_bind = true", []),
    ("deny_null_bind = false", ["warning: servers.corp.deny_null_bind: makes no difference: empty passwords are always refused"]),
    ("token_ttl = 1h, token_type = batch, rotation_period = 1h", [
        "warning: servers.corp.rotation_period: has no effect: this gateway does not change the password of its service account",
    ]),
    ("token_policies = [a, b], alias_metadata { a = b }", [
        "warning: servers.corp.alias_metadata: has no effect: aliases carry no metadata here",
    ]),
    ("token_policies = [a], policies = [b]", [
        "error: servers.corp.policies: means the same as vault.token_policies at D/gateway.conf:1:75, which has another value",
    ]),
    ("token_bound_cidrs = [nonsense]", [
        "error: servers.corp.vault.token_bound_cidrs.0: expected an address or a network such as 10.0.0.0/8 (servers.corp.token_bound_cidrs)",
    ]),
    ("tls_min_version = tls9", ["error: servers.corp.tls_min_version: expected tls10, tls11, tls12 or tls13"]),
    ("tls_min_version = TLS1.2", ["error: servers.corp.tls_min_version: expected tls10, tls11, tls12 or tls13"]),
    ("tls_max_version = tls11", ["error: servers.corp.max_tls_version: is older than min_tls_version (servers.corp.tls_max_version)"]),
    ("starttls = maybe", ["error: servers.corp.start_tls: expected true or false (servers.corp.starttls)"]),
    ("groupdn = 5", ["error: servers.corp.group_search_base_dns: expected a list of texts in quotes (servers.corp.groupdn)"]),
    ('groupdn = "people"', ["error: servers.corp.group_search_base_dns.0: not a distinguished name: no usable type=value at position 0 (servers.corp.groupdn)"]),
    ('userattr = "a b"', ["error: servers.corp.user_attr: expected the name of an attribute (servers.corp.userattr)"]),
    ('upndomain = "@example.com"', ["error: servers.corp.upn_domain: expected a domain such as example.com, without @ and blanks (servers.corp.upndomain)"]),
    ('userfilter = "(uid={{.UserDN}})", discoverdn = true', [
        "error: servers.corp.search_filter: an unknown variable (here there are {{.Username}} and {{.UserAttr}}) at position 5 (servers.corp.userfilter)"]),
    ('groupfilter = "(uid={{.UserAttr}})"', [
        "error: servers.corp.group_search_filter: an unknown variable (here there are {{.Username}} and {{.UserDN}}) at position 5 (servers.corp.groupfilter)"]),
    ('userfilter = "(memberOf=cn=a)"', [
        "warning: servers.corp.search_filter: is not looked at in bind_mode direct: it keeps nobody out (servers.corp.userfilter)",
        "warning: servers.corp.search_filter: has no %s or {0} in place of the user name: it finds the same for everyone (servers.corp.userfilter)"]),
    ("certificate = x", ["error: servers.corp.root_ca_cert_value: expected PEM (-----BEGIN ...), or base64 of that (servers.corp.certificate)"]),
    ("client_tls_cert = x", ["error: servers.corp.client_cert_value: needs client_key as well (servers.corp.client_tls_cert)"]),
    ("usserdn = x", ['error: servers.corp.usserdn: unknown key; did you mean "userdn"?']),
    ('userdn = ""', ["warning: servers.corp.user_dn: is needed in bind_mode direct: until then nobody can log in (servers.corp.userdn)"]),
]  # fmt: skip


@pytest.mark.parametrize(("more", "expected"), SAID)
def test_what_is_said(tmp_path: Path, more: str, expected: list[str]) -> None:
    assert said(tmp_path, f"servers.corp {{ {NEEDED}, {more} }}") == expected


def test_a_clash_names_both_places(tmp_path: Path) -> None:
    text = f'servers.corp {{ {NEEDED}\n bind_dn = "cn=a"\n binddn = "cn=b" }}'
    (line,) = said(tmp_path, text)
    assert line == "error: servers.corp.binddn: means the same as bind_dn at D/gateway.conf:2:2, which has another value"


def test_a_clash_of_secrets_shows_neither(tmp_path: Path) -> None:
    text = f'servers.corp {{ {NEEDED}, binddn = "cn=a", bind_password = "first-one", bindpass = "second-one" }}'
    (line,) = said(tmp_path, text)
    assert "means the same as bind_password at" in line
    assert "-one" not in line


def test_the_same_twice_is_no_clash(tmp_path: Path) -> None:
    text = f'servers.corp {{ {NEEDED}, bind_dn = "cn=a", binddn = "cn=a", bindpass = x, urls = "ldap://dc1.example.com" }}'
    assert said(tmp_path, text) == []


def test_two_servers_do_not_touch(tmp_path: Path) -> None:
    text = f'servers {{ corp {{ {NEEDED} }}, other {{ host = dc1, search_base_dns = ["dc=x"] }} }}'
    corp, other = load_text(tmp_path, text, "gateway.conf").configuration.servers
    assert (corp.preset, other.preset, other.timeout, other.mode) == ("vault", "custom", 10.0, "anonymous")


@pytest.mark.parametrize(("field", "value", "ours"), [
    ("binddn", '"cn=a"', "bind_dn"), ("starttls", "true", "start_tls"), ("userattr", "uid", "user_attr"),
])  # fmt: skip
def test_the_field_that_makes_it_vaults_is_named(tmp_path: Path, field: str, value: str, ours: str) -> None:
    """Where one name among our own keys changes the defaults of all, the name is to blame, not the host."""
    text = f'servers.corp {{\n  host = localhost\n  search_base_dns = ["dc=x"]\n  {field} = {value}\n}}'
    warnings = load_text(tmp_path, text, "gateway.conf").warnings
    (warning,) = [warning for warning in warnings if "Vault's name" in warning.message]
    assert (warning.line, warning.path) == (4, f"servers.corp.{field}")
    assert warning.message.endswith(f"give a preset of its own, or write {ours}")
