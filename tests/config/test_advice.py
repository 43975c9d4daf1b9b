"""What is said of servers that could be meant so, and hardly are: passwords in clear, TLS that is not on, groups by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.config_lookup import load_text

BASE = 'search_base_dns = ["dc=x"]'
HERE = f"host = localhost, {BASE}"
TLS = f"host = dc1, use_ssl = true, {BASE}"
CLEAR = "passwords cross the network to {} in clear text: set start_tls, or {}"
NO_TLS = "has no effect: neither start_tls nor use_ssl is set, nor an ldaps:// URL given"
BEGINS = "and the connection begins without TLS:"
NO_DN = "is no DN, and the groups of this server are compared by their DNs: it matches nobody"
LITERAL = "has {}, but bind_password is given: the service account's name is taken literally"
MEMBERS = "{} holds DNs, and %s puts in {}: write {{{{.UserDN}}}} for it"


def mapped(group: str) -> str:
    return f'group_mappings = [ {{ group_dn = "{group}", admin = true }} ]'


# what a server says, key and message of each warning
ROWS: list[tuple[str, dict[str, str]]] = [
    (f"host = dc1, {BASE}", {"host": CLEAR.format("dc1", "use_ssl")}),
    (f'host = "dc1 localhost dc2:1389 dc1:3", {BASE}', {"host": CLEAR.format("dc1, dc2", "use_ssl")}),
    (f'urls = ["ldap://dc1"], {BASE}', {"urls": CLEAR.format("dc1", "write ldaps://")}),
    (f'urls = ["ldap://dc1", "ldaps://dc2"], {BASE}', {"urls": CLEAR.format("dc1", "write ldaps://")}),
    (f'host = "127.0.0.2 ::1 localhost LOCALHOST. a.localhost", {BASE}', {}),
    (f"host = dc1, start_tls = true, {BASE}", {}),
    (TLS, {}),
    (f'host = "127.0.0.1.example.com", {BASE}', {"host": CLEAR.format("127.0.0.1.example.com", "use_ssl")}),
    (f"host = dc1, port = 636, {BASE}", {"port": f"636 is the port of LDAPS, {BEGINS} set use_ssl"}),
    (f'host = "dc1:636", {BASE}', {"host": f"636 is the port of LDAPS, {BEGINS} set use_ssl"}),
    (f"{HERE}, port = 3269", {"port": f"3269 is the port of LDAPS of a global catalogue, {BEGINS} set use_ssl"}),
    (f"host = dc1, port = 636, start_tls = true, {BASE}", {"port": f"636 is the port of LDAPS, {BEGINS} set use_ssl without start_tls"}),
    (f'urls = ["ldap://dc1:636"], {BASE}', {"urls": f"636 is the port of LDAPS, {BEGINS} write ldaps://"}),
    (f"host = dc1, port = 636, use_ssl = true, {BASE}", {}),
    (f'urls = ["ldaps://dc1:3269"], {BASE}', {}),
    (f"{HERE}, min_tls_version = TLS1.3", {"min_tls_version": NO_TLS}),
    (f"{HERE}, start_tls = true, min_tls_version = TLS1.3", {}),
    (f'urls = ["ldap://localhost", "ldaps://localhost"], min_tls_version = TLS1.3, {BASE}', {}),
    (f"{HERE}, preset = vault, user_dn = \"dc=x\"", {}),  # the preset's own version is nobody's mistake
    (f'{HERE}, bind_dn = "cn=%s,dc=x", bind_password = x', {"bind_dn": LITERAL.format("%s")}),
    (f'{HERE}, bind_dn = "cn={{0}},dc=x", bind_password = x', {"bind_dn": LITERAL.format("{0}")}),
    (f'{HERE}, bind_dn = "cn={{{{.Username}}}},dc=x", bind_password = x', {"bind_dn": LITERAL.format("{{.Username}}")}),
    (f'{HERE}, bind_dn = "cn=%s,dc=x"', {}),
    (f'{HERE}, bind_dn = "EXAMPLE\\\\svc", bind_password = x', {}),
    (f'{HERE}, bind_dn = "EXAMPLE\\nina", bind_password = x', {
        "bind_dn": "holds a control character: within double quotes a backslash is written twice, as in EXAMPLE\\\\name"}),
    (f"{HERE}, {mapped('admins')}", {"group_mappings.0.group_dn": NO_DN}),
    (f"{HERE}, {mapped('*')}", {}),
    (f"{HERE}, {mapped('cn=admins,dc=x')}", {}),
    (f'{HERE}, {mapped("admins")}, attributes.member_of = "groups"', {}),  # plain names may be there
    (f'{HERE}, {mapped("admins")}, attributes.member_of = "isMemberOf"', {"group_mappings.0.group_dn": NO_DN}),
    # grafana.md 2.5: with a group search the group's own attribute is compared
    (f'{HERE}, {mapped("admins")}, attributes.member_of = "cn", group_search_filter = "(memberUid=%s)"', {}),
    (f'{HERE}, {mapped("admins")}, group_search_filter = "(memberUid=%s)"', {"group_mappings.0.group_dn": NO_DN}),
    (f'{HERE}, group_search_filter = "(&(objectClass=groupOfNames)(member=%s))"', {
        "group_search_filter": MEMBERS.format("member", "uid")}),
    (f'{HERE}, preset = active_directory, group_search_filter = "(member:1.2.840.113556.1.4.1941:=%s)"', {
        "group_search_filter": MEMBERS.format("member", "sAMAccountName")}),
    (f'{HERE}, group_search_filter = "(member=%s)", group_search_filter_user_attribute = dn', {}),
    (f'{HERE}, group_search_filter = "(|(member={{{{.UserDN}}}})(memberUid=%s))"', {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_what_is_doubtful(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    warnings = load_text(tmp_path, f"servers.corp {{ {text} }}", "gateway.conf").warnings
    assert {warning.path.removeprefix("servers.corp."): warning.message for warning in warnings} == expected
    assert all(warning.origin.line == 1 for warning in warnings)


def test_certificates_without_tls(tmp_path: Path, certificate: Path) -> None:
    text = f'servers.corp {{ {HERE}, root_ca_cert = "{certificate}" }}'
    (warning,) = load_text(tmp_path, text, "gateway.conf").warnings
    assert (warning.path, warning.message) == ("servers.corp.root_ca_cert", NO_TLS)
    assert load_text(tmp_path, text.replace("localhost", "localhost, start_tls = true"), "gateway.conf").warnings == ()


def test_nothing_follows_from_a_wrong_value(tmp_path: Path) -> None:
    """A wrong ``use_ssl`` is one mistake."""
    from gateway.config.load import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, f"servers.corp {{ host = dc1, port = 636, use_ssl = perhaps, {BASE} }}", "gateway.conf")
    assert [problem.path for problem in caught.value.problems] == ["servers.corp.use_ssl"]
