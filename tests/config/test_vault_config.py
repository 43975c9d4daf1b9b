"""``auth/<mount>/config`` in our keys and back (vault.md 3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from config_lookup import said

from gateway.config.load import load
from gateway.config.schema import Server
from gateway.config.vault_config import (
    CONFIG_FIELDS,
    NO_USERATTR,
    InvalidField,
    config_changes,
    config_warnings,
    needs_bindpass,
    read_config,
)

# field, what is written, what is read; each a row of vault.md 3
WRITTEN: list[tuple[str, Any, Any]] = [
    ("url", "LDAP://DC1, ldaps://dc2:3269,", "ldap://dc1,ldaps://dc2:3269"),
    ("url", "http://dc1,ldap://dc2", "http://dc1,ldap://dc2"),
    ("url", "", "ldap://127.0.0.1"),
    ("starttls", True, True),
    ("insecure_tls", True, True),
    ("tls_min_version", "tls10", "tls10"),
    ("tls_max_version", "tls13", "tls13"),
    ("binddn", "cn=svc,dc=x", "cn=svc,dc=x"),
    ("userdn", "ou=Users,dc=x", "ou=Users,dc=x"),
    ("userattr", "sAMAccountName", "samaccountname"),
    ("userfilter", "({{.UserAttr}}={{- .Username -}})", "({{.UserAttr}}={{- .Username -}})"),
    ("discoverdn", True, True),
    ("deny_null_bind", False, True),
    ("upndomain", "example.com", "example.com"),
    ("groupdn", "ou=Groups,dc=x", "ou=Groups,dc=x"),
    ("groupdn", "", ""),
    ("groupfilter", "((memberUid={{.Username}})(member={{.UserDN}}))", "((memberUid={{.Username}})(member={{.UserDN}}))"),
    ("groupattr", "memberOf", "memberOf"),
    ("anonymous_group_search", True, True),
    ("use_token_groups", True, True),
    ("case_sensitive_names", True, True),
    ("username_as_alias", True, True),
    ("use_pre111_group_cn_behavior", True, True),
    ("dereference_aliases", "finding", "finding"),
    ("max_page_size", 500, 500),
    ("request_timeout", 15, 15),
    ("connection_timeout", 7, 7),
    ("enable_samaccountname_login", True, True),
    ("alias_metadata", {"a": "b"}, {}),
    ("password_policy", "x", ""),
    ("rotation_period", 5, 0),
    ("schema", "ad", "openldap"),
    ("token_ttl", 60, 60),
    ("token_max_ttl", 60, 60),
    ("token_explicit_max_ttl", 60, 60),
    ("token_period", 60, 60),
    ("token_policies", [" B", "a", "a", ""], ["a", "b"]),
    ("token_policies", ["a", " ROOT"], ["root"]),
    ("token_bound_cidrs", ["10.0.0.0", "fd00::/8"], ["10.0.0.0", "fd00::/8"]),
    ("token_no_default_policy", True, True),
    ("token_num_uses", 3, 3),
    ("token_type", "service", "service"),
    ("token_type", "", "default"),
    ("token_strictly_bind_ip", True, True),
]
# old name, new name, value
OLD: list[tuple[str, str, Any]] = [
    ("policies", "token_policies", ["a"]),
    ("ttl", "token_ttl", 60),
    ("max_ttl", "token_max_ttl", 60),
    ("period", "token_period", 60),
    ("bound_cidrs", "token_bound_cidrs", ["10.0.0.0"]),
]
# what is written, and what the error says; each a row of the second table of vault.md 3
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"userfilter": "({{.UserAttr}}={{.Username)"}, "invalid userfilter"),
    ({"userfilter": "(member={{.UserDN}})"}, "invalid userfilter"),
    ({"userfilter": "{{range .}}"}, "invalid userfilter"),
    ({"groupfilter": "({{.UserAttr}}=x)"}, "invalid groupfilter"),
    ({"groupfilter": "(member={{.Nonsense}})"}, "invalid groupfilter"),
    ({"certificate": "no PEM"}, "failed to parse server tls cert"),
    ({"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "failed to parse server tls cert"),
    ({"client_tls_cert": "x"}, "both client_tls_cert and client_tls_key must be set"),
    ({"client_tls_key": "x"}, "both client_tls_cert and client_tls_key must be set"),
    ({"client_tls_cert": "x", "client_tls_key": "y"}, "failed to parse client X509 key pair"),
    ({"tls_min_version": "tls9"}, "invalid 'tls_min_version'"),
    ({"tls_max_version": "TLSv1.2"}, "invalid 'tls_max_version'"),
    ({"tls_min_version": "tls13", "tls_max_version": "tls12"}, "'tls_max_version' must be greater than or equal to 'tls_min_version'"),
    ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
    ({"max_page_size": -1}, "'max_page_size' cannot be negative"),
    ({"token_ttl": 2, "token_max_ttl": 1}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
    ({"token_type": "x"}, "invalid 'token_type' value \"x\""),
    ({"token_type": "batch", "token_period": 1}, "'token_type' cannot be 'batch'"),
    ({"token_type": "batch", "token_num_uses": 1}, "'token_type' cannot be 'batch'"),
    ({"token_bound_cidrs": ["10.0.0.0/99"]}, "10.0.0.0/99"),
    ({"token_strictly_bind_ip": True, "token_bound_cidrs": ["10.0.0.0"]}, "cannot both be set"),
    ({"dereference_aliases": "sometimes"}, "never, finding, searching, always"),
    ({"url": "http://dc1"}, "invalid LDAP scheme in url"),
    ({"url": "ldap://svc:hunter2@dc1"}, "error parsing url"),
    ({"url": "ldap://dc1:99999"}, "error parsing url"),
    ({"url": "dc1"}, "error parsing url"),
    ({"request_timeout": 0}, "'request_timeout' must be more than 0"),
]  # fmt: skip


def server(*, variables: Mapping[str, str] | None = None, **keys: Any) -> Server:
    """One that the API made, with these settings stored."""
    environment = {"CLEARML__servers__m__preset": "vault"}
    environment |= {f"CLEARML__servers__m__{name}": value for name, value in (variables or {}).items()}
    settings = [Stored(("servers", "m", *path), value) for path, value in keys.get("changes", {}).items()]
    return load([], environment, stored=settings).configuration.servers[0]


class Stored:
    def __init__(self, path: tuple[str, ...], value: Any) -> None:
        self.path, self.value, self.by = path, value, "test"


def written(before: Server, values: Mapping[str, Any]) -> Server:
    return server(changes=config_changes(before, values, lambda _: False))


@pytest.mark.parametrize(("field", "value", "expected"), WRITTEN, ids=[f"{n}-{row[0]}" for n, row in enumerate(WRITTEN)])
def test_what_is_written_is_read(field: str, value: Any, expected: Any) -> None:
    before = read_config(server())
    after = read_config(written(server(), {field: value}))
    assert after[field] == expected
    # The maximum goes up with the minimum; nothing else touches another field.
    assert {name for name in after if after[name] != before[name]} <= {field}


@pytest.mark.parametrize(("old", "new", "value"), OLD)
def test_names_of_before(old: str, new: str, value: Any) -> None:
    """vault.md 3, last row: the new name wins."""
    assert read_config(written(server(), {old: value}))[new] == value
    assert old not in read_config(server())
    other: Any = [] if isinstance(value, list) else 0
    assert read_config(written(server(), {old: value, new: other}))[new] == other


@pytest.mark.parametrize(("values", "text"), REFUSED, ids=[f"{n}-{'-'.join(row[0])}" for n, row in enumerate(REFUSED)])
def test_what_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidField) as refused:
        config_changes(server(), values, lambda _: False)
    assert text in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_every_field_is_in_the_table() -> None:
    """Secrets are written and never read (vault.md 3: M)."""
    secrets = {"bindpass", "client_tls_cert", "client_tls_key"}
    read = set(read_config(server()))
    assert read == set(CONFIG_FIELDS) - secrets - {old for old, _, _ in OLD}
    unused = {"rotation_window", "rotation_schedule", "rotation_url", "rotation_credential_type", "disable_automated_rotation", "certificate"}
    assert {field for field, _, _ in WRITTEN} == read - unused


def test_defaults() -> None:
    """vault.md 3: a configuration that was never written."""
    read = read_config(server())
    assert (read["url"], read["userattr"], read["groupattr"]) == ("ldap://127.0.0.1", "cn", "cn")
    assert (read["tls_min_version"], read["tls_max_version"]) == ("tls12", "tls12")
    assert (read["request_timeout"], read["connection_timeout"]) == (90, 30)
    assert read["userfilter"] == "({{.UserAttr}}={{.Username}})"
    assert read["groupfilter"] == "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"


def test_userfilter_without_userattr() -> None:
    """vault.md 3: a warning on write and read."""
    assert config_warnings(written(server(), {"userfilter": "(uid={{.Username}})"})) == [NO_USERATTR]
    assert config_warnings(written(server(), {"userfilter": "(uid={{.Username}})", "userattr": "UID"})) == []
    assert config_warnings(server()) == []


# DECISIONS 15: what would send the bind password somewhere else, or otherwise
@pytest.mark.parametrize(("values", "expected"), [
    ({"url": "ldap://evil"}, True),
    ({"url": "LDAP://dc1/"}, False),
    ({"starttls": True}, True),
    ({"starttls": False}, False),
    ({"insecure_tls": True}, True),
    ({"certificate": "x"}, True),
    ({"client_tls_cert": "x"}, True),
    ({"tls_min_version": "tls10"}, True),
    ({"tls_max_version": "tls12"}, False),
    ({"userdn": "dc=y", "token_ttl": 5}, False),
], ids=str)  # fmt: skip
def test_where_the_password_goes(values: dict[str, Any], expected: bool) -> None:
    with_password = server(variables={"url": "ldap://dc1", "binddn": "cn=a", "bindpass": "pw"})
    assert needs_bindpass(with_password, values) is expected
    assert not needs_bindpass(server(), values)


def test_userdn_replaces_search_bases() -> None:
    """A base that a file gives would go on to be where people are searched."""
    declared = server(variables={"url": "ldap://dc1", "search_base_dns": "ou=old,dc=x"})
    assert read_config(declared)["userdn"] == "ou=old,dc=x"
    changes = config_changes(declared, {"userdn": "ou=new,dc=x"}, lambda key: key == "search_base_dns")
    assert changes == {("user_dn",): "ou=new,dc=x", ("search_base_dns",): ["ou=new,dc=x"]}


@pytest.mark.parametrize(("place", "value"), [
    ("vault.groups.admins", '[ops, " Root"]'), ("vault.users.ada.policies", "[ops, root]"),
    ("vault.local.token_policies", "[ops, ROOT]"), ("vault.realm.groups.admins", "[ops, root]"),
    ("servers.corp.vault.groups.admins", "[ops, root]"), ("servers.corp.vault.users.ada.policies", "[ops, root]"),
])  # fmt: skip
def test_root_in_mappings(tmp_path: Path, place: str, value: str) -> None:
    """vault.md 14: a login that would give root fails, so whoever maps it is warned."""
    text = f'servers.corp {{ host = localhost, search_base_dns = "dc=x" }}\nusers.a.disabled = true\n{place} = '
    assert said(tmp_path, text + value) == [
        f"warning: {place}.1: root is given by no login: that of everybody who gets it here fails"
    ]
    assert said(tmp_path, f"{text}[ops, roots]") == []
