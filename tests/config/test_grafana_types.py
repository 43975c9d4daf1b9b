"""Values of the wrong TOML type in an ``ldap.toml`` (grafana.md 1.1, 1.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_lookup import load_text

from gateway.config.load import ConfigurationError

BLOCK = """
[[servers]]
host = "127.0.0.1"
search_filter = "(cn=%s)"
search_base_dns = ["dc=grafana,dc=org"]
"""

# line of a block, a table below it, or nothing; what is said of which key (1.1, 1.2)
WRONG_TYPES = [
    ("host = 1", "host", "a text in quotes"),
    ("port = \"389\"", "port", "a whole number"),
    ("port = 389.0", "port", "a whole number"),
    ("port = true", "port", "a whole number"),
    ("timeout = \"5\"", "timeout", "a whole number"),
    ("timeout = \"5s\"", "timeout", "a whole number"),
    ("use_ssl = \"true\"", "use_ssl", "true or false"),
    ("start_tls = 1", "start_tls", "true or false"),
    ("ssl_skip_verify = \"no\"", "ssl_skip_verify", "true or false"),
    ("min_tls_version = 1.2", "min_tls_version", "a text in quotes"),
    ("tls_ciphers = \"TLS_AES_128_GCM_SHA256\"", "tls_ciphers", "a list of texts"),
    ("root_ca_cert = [\"a.pem\"]", "root_ca_cert", "a text in quotes"),
    ("client_cert = 1", "client_cert", "a text in quotes"),
    ("client_key = 1", "client_key", "a text in quotes"),
    ("bind_dn = 1", "bind_dn", "a text in quotes"),
    ("bind_password = 123456", "bind_password", "a text in quotes"),
    ("search_filter = [\"(uid=%s)\"]", "search_filter", "a text in quotes"),
    ("search_base_dns = \"dc=x\"", "search_base_dns", "a list of texts"),
    ("search_base_dns = [\"dc=x\", 1]", "search_base_dns", "a list of texts"),
    ("group_search_filter = true", "group_search_filter", "a text in quotes"),
    ("group_search_filter_user_attribute = 1", "group_search_filter_user_attribute", "a text in quotes"),
    ("group_search_base_dns = \"dc=x\"", "group_search_base_dns", "a list of texts"),
    ("[servers.attributes]\nusername = 1", "attributes.username", "a text in quotes"),
    ("[servers.attributes]\nMember_Of = [\"cn\"]", "attributes.member_of", "a text in quotes"),
    ("[[servers.group_mappings]]\norg_role = \"Admin\"\ngroup_dn = 1", "group_mappings.0.group_dn", "a text in quotes"),
    ("[[servers.group_mappings]]\ngroup_dn = \"a\"\norg_role = 1", "group_mappings.0.org_role", "a text in quotes"),
    ("[[servers.group_mappings]]\ngroup_dn = \"a\"\norg_role = \"Admin\"\norg_id = \"1\"", "group_mappings.0.org_id", "a whole number"),
    ("[[servers.group_mappings]]\ngroup_dn = \"a\"\ngrafana_admin = \"true\"", "group_mappings.0.grafana_admin", "true or false"),
]


@pytest.mark.parametrize(("line", "key", "expected"), WRONG_TYPES, ids=[str(place) for place in range(len(WRONG_TYPES))])
def test_a_value_of_the_wrong_type_refuses_the_file(tmp_path: Path, line: str, key: str, expected: str) -> None:
    """1.1; said once, with its line and without the value."""
    own = line.split(" = ")[0]
    base = "".join(f"{kept}\n" for kept in BLOCK.splitlines() if not kept.startswith(f"{own} "))
    text = base + line
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, "ldap.toml")
    [error] = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert (error.origin.line, error.path) == (len(text.splitlines()), f"servers.ldap.{key}")
    assert error.message == f"expected {expected}, as Grafana does"


def test_our_own_toml_and_our_own_keys_stay_lenient(tmp_path: Path) -> None:
    """configuration.md 1.1."""
    text = '[servers.corp]\nhost = "h"\ntimeout = "5s"\nsearch_base_dns = "dc=x"\nroot_ca_cert = []\n'
    own = load_text(tmp_path, text, "own.toml").configuration.servers[0]
    assert (own.timeout, own.search_base_dns) == (5.0, ("dc=x",))
    given = load_text(tmp_path, BLOCK + 'request_timeout = "5s"\n', "ldap.toml").configuration.servers[0]
    assert given.request_timeout == 5.0
