"""What is said of a configuration: every mistake, once, in words that help; nothing that only follows from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config_lookup import NOBODY, SERVER, at, load_text, said

from gateway.config.load import load

LDAP = "apiserver.auth.fixed_user_providers.ldap"
SPELLED = "CLEARML__apiserver__auth__fixed_user_providers__ldap__"
PROVIDER = "CLEARML__apiserver__auth__fixed_users__provider"
NEEDED = 'host = h, search_base_dns = ["dc=x"]'
CORP = f"servers.corp {{ {NEEDED} }}\nusers.ada.disabled = true\n"
NETWORK = "expected a network such as 10.0.0.0/8"
ADDRESS = "expected host:port, [v6]:port, https://host:port or unix:PATH"
HASH = "expected an argon2id ($argon2id$...) or bcrypt ($2b$...) hash, not a password"
DURATION = "expected a duration such as 90s, 5m, 1h30m, 30 days or a number of seconds"
NO_FILE = "No such file or directory"
COMPANY = (
    "is not set, and clearml.registration is whitelist: only those may log in whom ldap-gateway whitelist add or the API"
    " names; a default_company admits everyone"
)
LOCAL_USER = "user:NAME is for local users, and this is none: write user:SERVER/NAME"

FILES: list[tuple[str, str, list[str]]] = [
    (
        "a server of a name that is taken is looked at all the same",
        f"""servers = [ {{ name = corp, {NEEDED} }}, {{ name = Corp, host = 5, search_base_dns = [x], hots = 1,
          bind_dn = "cn=a", bind_password_file = none, root_ca_cert = none.pem, search_filter = "(uid=%s" }} ]""",
        [
            'error: servers.Corp (2).hots: unknown key; did you mean "host"?',
            "error: servers.corp (2).host: expected text; write it in quotes",
            "error: servers.corp (2).name: there are two of the name Corp: rename one",
            "error: servers.corp (2).search_base_dns.0: not a distinguished name: no usable type=value at position 0",
            f"error: servers.Corp (2).bind_password_file: D/none: cannot be read: {NO_FILE}",
            "error: servers.corp (2).search_filter: a closing parenthesis is missing at position 7",
            f"error: servers.corp (2).root_ca_cert: D/none.pem: cannot be read: {NO_FILE}",
        ],
    ),
    (
        "servers by name may differ in case alone",
        f"servers {{ corp {{ {NEEDED} }}, Corp {{ host = h, search_base_dns = 5 }} }}",
        [
            "error: servers.corp (2).search_base_dns: expected a list of texts in quotes",
            "error: servers.corp (2).name: there are two of the name Corp: rename one",
        ],
    ),
    (
        "users likewise, with or without a name",
        "users = [{username = a, disabled = true}, {username = A, password_hash = x}, {groups = 5, disabled = true}]",
        [
            "error: users.2.username: is needed: a name in quotes",
            f"error: users.a (2).password_hash: {HASH}",
            "error: users.item-2.groups: expected a list of texts in quotes",
            "error: users.a (2).username: there are two of the name A: rename one",
        ],
    ),
    (
        "each item of a list",
        'trusted_proxies = ["10.0.0.0/33", "10.0.0.0/8", "foo"]\nlisten = [x, "127.0.0.1:1", y]',
        [
            (f"error: trusted_proxies: item 1: {NETWORK}: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network;"
            f" item 3: {NETWORK}: 'foo' does not appear to be an IPv4 or IPv6 network"),
            f"error: listen: item 1: {ADDRESS}; item 3: {ADDRESS}",
        ],
    ),
    (
        "a certificate and a key that cannot be read are two mistakes beside the authorities",
        f"{CORP}servers.corp {{ root_ca_cert = a.pem, client_cert = b.pem, client_key = c.pem }}",
        [
            f"error: servers.corp.root_ca_cert: D/a.pem: cannot be read: {NO_FILE}",
            f"error: servers.corp.client_cert: D/b.pem: cannot be read: {NO_FILE}",
        ],
    ),
    (
        "provider ldap without a server, in a file",
        "apiserver.auth.fixed_users.provider = ldap",
        [f"error: apiserver.auth.fixed_users.provider: is ldap, and there is no server: set {LDAP}.server"],
    ),
    (
        "bad and missing values in ClearML's words, in a file",
        f"{LDAP} {{ server = h, default_company = x, use_tls = 5, tls.ca_certs = 5 }}",
        [
            f"error: servers.ldap.start_tls: expected true or false ({LDAP}.use_tls)",
            f"error: servers.ldap.root_ca_cert: expected text; write it in quotes ({LDAP}.tls.ca_certs)",
            f"error: servers.ldap.search_base_dns: is needed ({LDAP}.base_dn)",
        ],
    ),
    (
        "fixed users and credentials in ClearML's words",
        """apiserver.auth.fixed_users.users = [{ username = j }, { username = k, password = "", email = 5 }]
        secure.credentials.ci.user_key = x""",
        [
            "error: apiserver.auth.fixed_users.users.k.password: an empty password is not accepted",
            "error: users.k.email: expected text; write it in quotes (apiserver.auth.fixed_users.users.k.email)",
            ("error: users.j.password_hash: is needed, unless the user is disabled"
            " (apiserver.auth.fixed_users.users.j.password)"),
            "error: clearml.credentials.ci.user_secret: is needed (secure.credentials.ci.user_secret)",
        ],
    ),
    (
        "administrators: each form, and those that fit nobody",
        f"""{CORP}admins = ["user:ada", "user:local/ada", "user:bob", "user:CORP/bob", "user:other/bob", "group:x",
          "group:other/x", "group:corp/x", "group:cn=a/b,dc=x", "group:other/cn=a/b,dc=x", "ada"]""",
        [
            f"warning: admins.2: {LOCAL_USER}",
            "warning: admins.4: there is no server other",
            "warning: admins.6: there is no server other",
            "warning: admins.9: there is no server other",
            "error: admins.10: expected user:NAME, user:SERVER/NAME, group:NAME, group:SERVER/NAME or group:DN",
        ],
    ),
    (
        "what follows from a wrong value is not said",
        "tokens { lifetime = soon, max_lifetime = 5 }\nsession { refresh_interval = x, max_stale = 1 }",
        [
            f"error: tokens.lifetime: {DURATION}",
            f"error: session.refresh_interval: {DURATION}, or always, or never",
        ],
    ),
    (
        "nor what follows from a secret's file that cannot be read",
        f"""servers = [{{ {NEEDED}, bind_dn = "cn=x", bind_password_file = none }}]
        users = [{{ username = A, password_hash_file = none }}]""",
        [
            f"error: servers.ldap.bind_password_file: D/none: cannot be read: {NO_FILE}",
            f"error: users.A.password_hash_file: D/none: cannot be read: {NO_FILE}",
        ],
    ),
    ("a table that is none", "servers = [5]", ["error: servers.0: expected a table of keys and values"]),
    (
        "forms in words",
        'clearml { company = X, api_version = a, server_version = a, cookie { name = "a b", domain = "x/y" } }',
        [
            "error: clearml.company: expected 32 hexadecimal digits (small letters)",
            "error: clearml.api_version: expected a version such as 2.34",
            "error: clearml.server_version: expected a version such as 2.3.0",
            "error: clearml.cookie.name: expected letters, digits and !#$%&'*+-.^_`|~ alone",
            "error: clearml.cookie.domain: expected a domain such as example.com",
        ],
    ),
    (
        "choices without the empty one",
        "users.a { disabled = true, clearml_role = root }\ngroup_mappings = [{ group_dn = a, org_role = Owner }]",
        [
            "error: users.a.clearml_role: expected 'guest', 'annotator', 'user', 'superuser' or 'admin'",
            "error: group_mappings.0.org_role: expected 'Viewer', 'Editor', 'Admin' or 'None'",
        ],
    ),
    ("paths without ..", f"{CORP}servers.corp.root_ca_cert = a/../b.pem", [f"error: servers.corp.root_ca_cert: D/b.pem: cannot be read: {NO_FILE}"]),
    ("HOCON: what was expected", "a = [1,2", ["error: not valid HOCON: no ] closes this bracket"]),
    (
        "HOCON: a name without quotes",
        "a = dc=x,dc=y",
        ["error: not valid HOCON: = cannot stand in a value without quotes: write the value in quotes"],
    ),
    ("HOCON: nothing but one sign is ever quoted", "planted", ["error: not valid HOCON: expected = or : or { after the key; other signs must be quoted"]),
    (
        "whitelist mode says what it means",
        f"{CORP}clearml.registration = whitelist",
        [f"warning: servers.corp.clearml.default_company: {COMPANY}"],
    ),
    ("whitelist mode with a company", f"{CORP}clearml.registration = whitelist\nservers.corp.clearml.default_company = x", []),
    ("always and never", "session { refresh_interval = never }", []),
    ("always stale", "session { refresh_interval = always, max_stale = always }", []),
    ("never stale", "session { max_stale = never }", []),
    ("never is no duration elsewhere", "http.shutdown = never", [f"error: http.shutdown: {DURATION}"]),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "text", "expected"), FILES, ids=lambda value: str(value)[:60])
def test_said_of_a_file(tmp_path: Path, proves: str, text: str, expected: list[str]) -> None:
    assert said(tmp_path, text) == expected, proves


VARIABLES: list[tuple[str, dict[str, str], list[str]]] = [
    (
        "provider ldap without a server",
        {PROVIDER: "ldap"},
        [
            (f"error: {PROVIDER}: apiserver.auth.fixed_users.provider: is ldap, and there is no server:"
            f" set {SPELLED}server")
        ],
    ),
    ("provider ldap with a server of our own", {PROVIDER: "ldap", **SERVER}, []),
    (
        "a server of ClearML's without a base",
        {SPELLED + "server": "h", SPELLED + "default_company": "x"},
        [f"error: {SPELLED}server: servers.ldap.search_base_dns: is needed ({SPELLED}base_dn)"],
    ),
    (
        "a base without a server",
        {SPELLED + "base_dn": "dc=x"},
        [f"error: {SPELLED}base_dn: servers.ldap.host: is needed (or urls) ({SPELLED}server)"],
    ),
    (
        "the variable says its own name",
        {**SERVER, SPELLED + "use_tls": "perhaps"},
        [f"error: {SPELLED}use_tls: servers.ldap.start_tls: expected true or false"],
    ),
    (
        "ClearML's whitelist mode, in ClearML's words",
        {SPELLED + "server": "h", SPELLED + "base_dn": "dc=x"},
        [f"warning: {SPELLED}server: servers.ldap.clearml.default_company: {COMPANY} ({SPELLED}default_company)"],
    ),
    (
        "an empty value counts as not given",
        {
            **SERVER,
            "CLEARML__http__max_body": "",
            "CLEARML__http__shutdown": '""',
            "CLEARML__login__queue": " ",
            SPELLED + "use_tls": "",
        },
        [
            f"warning: {SPELLED}use_tls: {LDAP}.use_tls: is empty, which counts as not given",
            "warning: CLEARML__http__max_body: http.max_body: is empty, which counts as not given",
            "warning: CLEARML__http__shutdown: http.shutdown: is empty, which counts as not given",
            "warning: CLEARML__login__queue: login.queue: is empty, which counts as not given",
        ],
    ),
]


@pytest.mark.parametrize(("proves", "environment", "expected"), VARIABLES, ids=lambda value: str(value)[:40])
def test_said_of_variables(tmp_path: Path, proves: str, environment: dict[str, str], expected: list[str]) -> None:
    assert said(tmp_path, "", **environment) == expected, proves


def test_an_empty_text_is_a_text() -> None:
    environment = SERVER | {"CLEARML__clearml__company_name": "", "CLEARML__servers__ldap__bind_password": ""}
    configuration = load([], environment).configuration
    assert configuration.clearml.company_name == ""
    assert not configuration.servers[0].bind_password


@pytest.mark.parametrize("value", ["null", '"null"'])
def test_no_cookie_domain(tmp_path: Path, value: str) -> None:
    """clearml.md 1.3 prints ``domain null``."""
    given = {"CLEARML__apiserver__auth__cookies__domain": value}
    before = 'clearml.cookie.domain = "example.com"'
    assert at(load_text(tmp_path, before, "a.conf", **given).configuration, "clearml.cookie.domain") == ""


NOBODY_ROWS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    (SERVER, False),
    ({"CLEARML__users__a__disabled": "true"}, False),
]


@pytest.mark.parametrize(("environment", "warned"), NOBODY_ROWS)
def test_nobody_can_log_in(environment: dict[str, str], warned: bool) -> None:
    assert [str(warning) for warning in load([], environment).warnings] == [f"configuration: {NOBODY}"] * warned


# what is written in a server block, what is suggested
MEANT: list[tuple[str, str]] = [
    ("basedn", "search_base_dns"),
    ("base_dn", "search_base_dns"),
    ("basedns", "search_base_dns"),
    ("base-dn", "search_base_dns"),
    ("bindpw", "bind_password"),
    ("binddn_password", "bind_password"),
    ("bind_pasword", "bind_password"),
    ("server", "host"),
    ("hots", "host"),
    ("ca_cert", "root_ca_cert"),
    ("userdns", "user_dn"),
    ("username", "attributes.username"),
    ("admin_users", "clearml.admin_users"),
    ("attributes.mail", "email"),
    ("listen", ""),
    ("fixed_users", ""),
]


@pytest.mark.parametrize(("key", "meant"), MEANT)
def test_keys_of_a_server_that_may_be_meant(tmp_path: Path, key: str, meant: str) -> None:
    """Ours, not Vault's, and never one of another table of the tree."""
    hint = f'; did you mean "{meant}"?' if meant else ""
    assert said(tmp_path, f"servers.corp {{ {NEEDED}, {key} = x }}") == [f"error: servers.corp.{key}: unknown key{hint}"]


def test_vaults_names_are_suggested_beside_others_of_them(tmp_path: Path) -> None:
    text = 'servers.corp { url = "ldap://localhost", userdn = "dc=x", bindpas = x, base_dn = x }'
    assert said(tmp_path, text) == [
        'error: servers.corp.bindpas: unknown key; did you mean "bindpass"?',
        'error: servers.corp.base_dn: unknown key; did you mean "search_base_dns"?',
    ]


FILTERS: list[tuple[str, str]] = [
    ("(uid=%s)", ""),
    ("(uid={0})", ""),
    ("(&(uid=%s)(x={SSHA}))", ""),
    ("(objectClass=person)", "warning: has no %s or {0}"),
    ("(uid={{.Username}})", ""),
    ("({{.UserAttr}}={{- .Username }})", ""),
    ("(uid={{.UserDN}})", "error: an unknown variable (here there are {{.Username}} and {{.UserAttr}}) at position 5"),
    ("(uid={{.username}})", "error: an unknown variable"),
    ("(uid={{printf .Username}})", "error: "),
    ("(uid={username})", "error: {username} is taken as it stands"),
    ("(uid=%{user})", "error: %{user} is taken as it stands"),
    ("(uid=${user})", "error: ${user} is taken as it stands"),
    ("(|(uid=%s)(mail={{.Username}}))", ""),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
def test_placeholders(tmp_path: Path, text: str, expected: str) -> None:
    """A filter with another program's placeholder would find nobody."""
    lines = said(tmp_path, f'servers.corp {{ {NEEDED}, search_filter = "{text}" }}')
    shown = [line.replace("servers.corp.search_filter: ", "") for line in lines]
    assert [line.startswith(expected) for line in shown] == [True] * bool(expected), shown


def test_credentials_of_names_with_dots(tmp_path: Path) -> None:
    """DECISIONS 22: a credential is named by the path of its key; names of servers and users may hold dots."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    bcrypt = "$2b$04$" + "a" * 53
    contents: dict[str, Any] = {
        "servers.corp.eu.bind_password": "secret\n",
        "users.john.doe.password_hash": bcrypt,
        "servers.corp.eu.bind_pasword": "planted",
        "another.program": "planted",
    }
    for name, content in contents.items():
        (directory / name).write_text(content)
    text = f'servers = [{{ name = corp.eu, {NEEDED}, bind_dn = "cn=x" }}]\nusers = [{{ username = john.doe }}]'
    configuration = load_text(tmp_path, text, "a.conf", CREDENTIALS_DIRECTORY=str(directory)).configuration
    assert configuration.servers[0].bind_password.reveal() == "secret"
    assert configuration.users[0].password_hash.reveal() == bcrypt
    assert said(tmp_path, text, CREDENTIALS_DIRECTORY=str(directory)) == [
        "warning: D/credentials/servers.corp.eu.bind_pasword: is named after no secret key, so it is not used"
    ]


def test_plain_paths_keep_their_meaning(tmp_path: Path) -> None:
    """``link/..`` is the directory above the link's target, so it is not shortened."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "secret").write_text("0123456789abcdef")
    (tmp_path / "link").symlink_to("far/away")
    loaded = load_text(tmp_path, "clearml.token_secret_file = link/../secret", "a.conf").configuration
    assert loaded.clearml.token_secret.reveal() == "0123456789abcdef"
