"""The examples of the references as they are written, but for hosts and, on slapd, the suffix of the directory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.schema import Configuration
from gateway.directory.realm import Outcome
from gateway.grants.mapping import Grants, Refused
from tests.directories.directory_logins import Logins, configured, filters, logins
from tests.directories.relay import Relay
from tests.directories.samba import Samba, password_of
from tests.directories.samba_fill import BASE_DN as AD_DN
from tests.directories.samba_fill import GROUPS_DN as AD_GROUPS
from tests.directories.samba_fill import PEOPLE_DN as AD_PEOPLE
from tests.directories.samba_fill import REALM
from tests.directories.slapd import ADMIN_PASSWORD, BASE_DN, Slapd

EXAMPLE = f"""
dn: {BASE_DN}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=Users,{BASE_DN}
objectClass: organizationalUnit
ou: Users

dn: o=users,{BASE_DN}
objectClass: organization
o: users

dn: ou=Groups,{BASE_DN}
objectClass: organizationalUnit
ou: Groups

dn: cn=vault,ou=users,{BASE_DN}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: vault
userPassword: My$ecrt3tP4ss

dn: cn=tesla,ou=Users,{BASE_DN}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: tesla
cn: tesla
givenName: Nikola
sn: Tesla
mail: tesla@example.com
uidNumber: 1
gidNumber: 1
homeDirectory: /
loginShell: /bin/bash
userPassword: coil

dn: cn=daemon,ou=Users,{BASE_DN}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: daemon
cn: daemon
sn: daemon
uidNumber: 2
gidNumber: 1
homeDirectory: /
loginShell: /bin/false
userPassword: coil

dn: cn=curie,o=users,{BASE_DN}
objectClass: inetOrgPerson
uid: curie
cn: curie
givenName: Marie
sn: Curie
userPassword: radium

dn: cn=scientists,ou=Groups,{BASE_DN}
objectClass: groupOfNames
cn: scientists
member: cn=tesla,ou=Users,{BASE_DN}

dn: cn=inventors,ou=Groups,{BASE_DN}
objectClass: groupOfUniqueNames
cn: inventors
uniqueMember: cn=tesla,ou=Users,{BASE_DN}

dn: cn=engineers,ou=Groups,{BASE_DN}
objectClass: posixGroup
cn: engineers
gidNumber: 7
memberUid: tesla

dn: cn=admins,{BASE_DN}
objectClass: groupOfNames
cn: admins
member: cn=tesla,ou=Users,{BASE_DN}

dn: cn=users,{BASE_DN}
objectClass: groupOfNames
cn: users
member: cn=tesla,ou=Users,{BASE_DN}
member: cn=curie,o=users,{BASE_DN}

dn: cn=hash,{BASE_DN}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: hash
userPassword: #password;
"""
ACTIVE_DIRECTORY = """\
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.9.1 NAME 'accountName' SUP top AUXILIARY MAY sAMAccountName )
modulepath"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """``example.com``, with StartTLS, LDAPS and Active Directory's name of accounts."""
    directory = tmp_path_factory.mktemp("slapd") / "slapd"
    with Slapd.start(EXAMPLE, directory=directory, tls=True) as started:
        file = directory / "slapd.conf"
        file.write_text(file.read_text().replace("modulepath", ACTIVE_DIRECTORY, 1))
        started.restart()
        with started.administration() as admin:
            changes = {"objectClass": [("MODIFY_ADD", ["accountName"])], "sAMAccountName": [("MODIFY_ADD", ["NTesla"])]}
            admin.modify(f"cn=tesla,ou=Users,{BASE_DN}", changes)
        yield started


async def groups(directory: Logins, login: str, password: str) -> list[str]:
    verdict = await directory.verdict(login, password)
    assert verdict.outcome is Outcome.OK, verdict
    assert verdict.account is not None
    return sorted(group.name for group in verdict.account.groups)


# Vault's reference, scenarios 1 to 3


async def test_vault_scenario_1(samba: Samba) -> None:
    """User Principal Names, nested groups by LDAP_MATCHING_RULE_IN_CHAIN, StartTLS with an own CA."""
    server = configured(
        url=samba.url,
        userdn=AD_PEOPLE,
        groupdn=AD_GROUPS,
        groupfilter="(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))",
        groupattr="cn",
        upndomain=REALM,
        certificate=samba.ca_file.read_text(),
        insecure_tls=False,
        starttls=True,
    )
    assert (server.mode, server.recheck, server.endpoints[0][2]) == ("upn", "none", "starttls")
    async with logins(server) as directory:
        assert await groups(directory, "nia", password_of("nia")) == ["level1", "level2", "level3", "level4"]
        assert (directory.searches, directory.binds) == (2, 1)
        verdict = await directory.verdict("nia", "wrong")
        assert (verdict.outcome, directory.searches, directory.binds) == (Outcome.INVALID, 0, 1)
        assert "data 52e" in verdict.reason


@pytest.mark.parametrize(("domain", "login", "by_account_name", "found"), [
    ("example.org", "juergen.muessig", False, True),  # a suffix of its own
    ("example.org", "juergen.muessig", True, True),
    (REALM, "jmuessig", True, True),  # the implicit name: account and realm
    (REALM, "jmuessig", False, False),  # it binds, but no entry has it for its userPrincipalName
    (REALM, "straße", False, True),  # vault.md 4.2: as it is, an escape would break it
])  # fmt: skip
async def test_principal_names(samba: Samba, domain: str, login: str, by_account_name: bool, found: bool) -> None:
    """vault.md 4, step 9."""
    server = configured(
        url=samba.ldaps_url, certificate=samba.ca_file.read_text(), userdn=AD_DN, upndomain=domain,
        enable_samaccountname_login=by_account_name,
    )  # fmt: skip
    account = "jmuessig" if "m" in login else login
    async with logins(server) as directory:
        verdict = await directory.verdict(login, password_of(account))
        assert (verdict.outcome is Outcome.OK) == found, verdict
        assert not found or (verdict.account is not None and verdict.account.username == account)


async def test_names_with_a_domain(samba: Samba) -> None:
    """grafana.md 2.3: ``DOMAIN\\user`` is a name to bind with as well, and no DN."""
    server = configured(
        preset="active_directory", urls=[samba.url], bind_dn="EXAMPLE\\%s", search_base_dns=[AD_PEOPLE],
    )  # fmt: skip
    assert (server.mode, server.recheck) == ("single", "none")
    async with logins(server) as directory:
        assert "admins" in await groups(directory, "ada", password_of("ada"))
        for login, password in (("ada", "wrong"), ("ADA\\ada", password_of("ada")), ("nobody", "x")):
            assert (await directory.verdict(login, password)).outcome is Outcome.INVALID


async def test_direct_names_in_active_directory(samba: Samba) -> None:
    """vault.md 4.3: the CN as people type it, escaped for Active Directory."""
    server = configured(preset="active_directory", urls=[samba.url], user_dn=AD_PEOPLE)
    async with logins(server) as directory:
        for login, cn in (("jmuessig", "Müßig, Jürgen"), ("seven", '#7 "Sö" + <x>; \\ = /'), ("ada", "ada lovelace")):
            verdict = await directory.verdict(cn, password_of(login))
            assert verdict.account is not None, (cn, verdict)
            assert verdict.account.username == login


async def test_vault_scenario_2(slapd: Slapd) -> None:
    """A service account searches by sAMAccountName; groups are the ``memberOf`` of user objects."""
    server = configured(
        url=slapd.url.replace("127.0.0.1", "localhost"),
        userattr="sAMAccountName",
        userdn="ou=Users,dc=example,dc=com",
        groupdn="ou=Users,dc=example,dc=com",
        groupfilter="(&(objectClass=person)(uid={{.Username}}))",
        groupattr="memberOf",
        binddn="cn=vault,ou=users,dc=example,dc=com",
        bindpass="My$ecrt3tP4ss",
        certificate=slapd.ca_file.read_text(),
        insecure_tls=False,
        starttls=True,
    )
    assert (server.mode, server.recheck) == ("service", "service")
    async with logins(server) as directory:
        # As documented, the filter compares uid with what was typed, which is the account name.
        assert await groups(directory, "ntesla", "coil") == []
        with slapd.administration() as admin:
            admin.modify(f"cn=tesla,ou=Users,{BASE_DN}", {"uid": [("MODIFY_ADD", ["ntesla"])]})
        assert await groups(directory, "ntesla", "coil") == ["admins", "inventors", "scientists", "users"]
        assert (directory.searches, directory.binds) == (2, 1)
        assert (await directory.verdict("tesla", "coil")).outcome is Outcome.NOT_FOUND


async def test_vault_scenario_3(slapd: Slapd) -> None:
    """LDAPS, anonymous discovery, the default filter for groups; StartTLS has no meaning here and does no harm."""
    server = configured(
        url=slapd.ldaps_url.upper(),
        userattr="uid",
        userdn="ou=Users,dc=example,dc=com",
        discoverdn=True,
        groupdn="ou=Groups,dc=example,dc=com",
        certificate=slapd.ca_file.read_text(),
        insecure_tls=False,
        starttls=True,
    )
    assert (server.mode, server.recheck, server.endpoints[0][2]) == ("anonymous", "service", "ldaps")
    async with logins(server) as directory:
        assert await groups(directory, "tesla", "coil") == ["engineers", "inventors", "scientists"]
        assert (await directory.verdict("tesla", "x")).outcome is Outcome.INVALID


async def test_principal_names_in_a_search(slapd: Slapd) -> None:
    """vault.md 4.2: with ``upndomain`` the search is for userPrincipalName, with the whole principal name."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        server = configured(url=f"ldap://127.0.0.1:{relay.port}", userdn=BASE_DN, discoverdn=True, upndomain="example.com")
        async with logins(server) as directory:
            assert (await directory.verdict("te*la", "coil")).outcome is Outcome.NOT_FOUND
        assert filters(relay.sent) == [[0xA3, b"userPrincipalName", b"te*la@example.com"]]
    finally:
        await relay.close()


# Grafana's reference

GRAFANA = """\
# Set to true to log user information returned from LDAP
verbose_logging = false
[[servers]]
# Ldap server host (specify multiple hosts space separated)
host = "127.0.0.1"
# Default port is 389 or 636 if use_ssl = true
port = 389
# Set to true if ldap server supports TLS
use_ssl = false
# Set to true if connect ldap server with STARTTLS pattern (create connection in insecure, then upgrade to secure connection with TLS)
start_tls = false
# set to true if you want to skip ssl cert validation
ssl_skip_verify = false
# set to the path to your root CA certificate or leave unset to use system defaults
# root_ca_cert = "/path/to/certificate.crt"
# Search user bind dn
bind_dn = "cn=admin,dc=grafana,dc=org"
# Search user bind password
# If the password contains # or ; you have to wrap it with trippel quotes. Ex \"""#password;\"""
bind_password = 'grafana'
# User search filter, for example "(cn=%s)" or "(sAMAccountName=%s)" or "(uid=%s)"
search_filter = "(cn=%s)"
# An array of base dns to search through
search_base_dns = ["dc=grafana,dc=org"]
## Group search filter, to retrieve the groups of which the user is a member (only set if memberOf attribute is not available)
# group_search_filter = "(&(objectClass=posixGroup)(memberUid=%s))"
## An array of the base DNs to search through for groups. Typically uses ou=groups
# group_search_base_dns = ["ou=groups,dc=grafana,dc=org"]
# Specify names of the ldap attributes your ldap uses
[servers.attributes]
name = "givenName"
surname = "sn"
username = "cn"
member_of = "memberOf"
email = "email"
# Map ldap groups to grafana org roles
[[servers.group_mappings]]
group_dn = "cn=admins,dc=grafana,dc=org"
org_role = "Admin"
# org_id = 1
[[servers.group_mappings]]
group_dn = "cn=users,dc=grafana,dc=org"
org_role = "Editor"
[[servers.group_mappings]]
# If you want to match all (or no ldap groups) then you can use wildcard
group_dn = "*"
org_role = "Viewer"
"""


def grafana_configuration(tmp_path: Path, slapd: Slapd, text: str) -> Configuration:
    text = text.replace("dc=grafana,dc=org", BASE_DN).replace("'grafana'", f"'{ADMIN_PASSWORD}'")
    file = tmp_path / "ldap.toml"
    file.write_text(text.replace("port = 389", f"port = {slapd.port}"))
    return load([file], {}).configuration


@asynccontextmanager
async def by_grafana_file(tmp_path: Path, slapd: Slapd, text: str) -> AsyncIterator[Logins]:
    async with logins(grafana_configuration(tmp_path, slapd, text).servers[0]) as directory:
        yield directory


async def test_grafana_example(slapd: Slapd, tmp_path: Path) -> None:
    async with by_grafana_file(tmp_path, slapd, GRAFANA) as directory:
        verdict = await directory.verdict("tesla", "coil")
        assert verdict.account is not None
        assert (verdict.account.username, verdict.account.name, verdict.account.email) == ("tesla", "Nikola Tesla", "")
        assert f"cn=admins,{BASE_DN}" in {group.value for group in verdict.account.groups}
        assert (directory.searches, directory.binds) == (1, 1)
        assert (await directory.verdict("tesla", "x")).outcome is Outcome.INVALID


ADMINS, USERS, EVERYBODY = re.findall(r"\[\[servers\.group_mappings\]\](?s:.*?)org_role = .*\n", GRAFANA)
TWO_ORGS = ADMINS + ADMINS.replace("org_role", "org_id = 2\norg_role")

# what the reference says, mappings in their order, roles by organisation of tesla (admins, users), curie (users), daemon
MAPPINGS = [
    ("the example", ADMINS + USERS + EVERYBODY, {1: "Admin"}, {1: "Editor"}, {1: "Viewer"}),
    ("priority: the topmost mapping is used", USERS + ADMINS + EVERYBODY, {1: "Editor"}, {1: "Editor"}, {1: "Viewer"}),
    ("priority: of the wildcard too", EVERYBODY + ADMINS + USERS, {1: "Viewer"}, {1: "Viewer"}, {1: "Viewer"}),
    ("no wildcard: who matches nothing stays out", ADMINS + USERS, {1: "Admin"}, {1: "Editor"}, None),
    ("org_id: one group in two organisations", TWO_ORGS + EVERYBODY, {1: "Admin", 2: "Admin"}, {1: "Viewer"}, {1: "Viewer"}),
    ("org_id: the first match of each", USERS + TWO_ORGS, {1: "Editor", 2: "Admin"}, {1: "Editor"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("mappings", "tesla", "curie", "daemon"), [row[1:] for row in MAPPINGS], ids=[row[0] for row in MAPPINGS])
async def test_grafana_mappings(
    slapd: Slapd, tmp_path: Path, mappings: str, tesla: dict[int, str], curie: dict[int, str], daemon: dict[int, str] | None
) -> None:
    text = GRAFANA[: GRAFANA.index("[[servers.group_mappings]]")] + mappings
    configuration = grafana_configuration(tmp_path, slapd, text)
    grants = Grants(configuration)
    expected = {("tesla", "coil"): tesla, ("curie", "radium"): curie, ("daemon", "coil"): daemon}
    async with logins(configuration.servers[0]) as directory:
        for (login, password), roles in expected.items():
            verdict = await directory.verdict(login, password)
            assert verdict.account is not None
            if roles is None:
                with pytest.raises(Refused):
                    grants.grant(verdict.account)
            else:
                assert grants.grant(verdict.account).org_roles == roles


async def test_grafana_password_with_special_characters(slapd: Slapd, tmp_path: Path) -> None:
    """The comment at ``bind_password``: "If the password contains # or ; you have to wrap it with trippel quotes"."""
    text = GRAFANA.replace("bind_password = 'grafana'", 'bind_password = """#password;"""')
    text = text.replace("cn=admin,dc=grafana", "cn=hash,dc=grafana")
    async with by_grafana_file(tmp_path, slapd, text) as directory:
        assert (await directory.verdict("tesla", "coil")).outcome is Outcome.OK


async def test_grafana_single_bind_example(slapd: Slapd, tmp_path: Path) -> None:
    """``bind_dn`` with ``%s`` and no password: who is elsewhere cannot log in."""
    text = re.sub(r"(?m)^bind_dn.*$", 'bind_dn = "cn=%s,o=users,dc=grafana,dc=org"', GRAFANA)
    text = re.sub(r"(?m)^bind_password.*$", "", text)
    async with by_grafana_file(tmp_path, slapd, text) as directory:
        verdict = await directory.verdict("curie", "radium")
        assert verdict.account is not None
        assert (verdict.account.username, verdict.account.name) == ("curie", "Marie Curie")
        assert (directory.searches, directory.binds) == (1, 1)
        assert (await directory.verdict("tesla", "coil")).outcome is Outcome.INVALID


async def test_grafana_posix_example(slapd: Slapd, tmp_path: Path) -> None:
    """A group search, and ``member_of = "cn"``: bare names are compared. The filter has a blank, as documented."""
    text = GRAFANA.replace('member_of = "memberOf"', 'member_of = "cn"').replace("[servers.attributes]", """\
## Group search filter, to retrieve the groups of which the user is a member (only set if memberOf attribute is not available)
group_search_filter = "(& (objectClass=posixGroup)(memberUid=%s))"
## An array of the base DNs to search through for groups. Typically uses ou=groups
group_search_base_dns = ["ou=groups,dc=grafana,dc=org"]
[servers.attributes]""")
    async with by_grafana_file(tmp_path, slapd, text) as directory:
        verdict = await directory.verdict("tesla", "coil")
        assert verdict.account is not None
        assert [group.value for group in verdict.account.groups] == ["engineers"]
        assert (directory.searches, directory.binds) == (2, 1)


# Conjur's reference


async def test_conjur_template(slapd: Slapd) -> None:
    """conjur.md 4: the default template, and the one that copies LDAP Sync's filter and adds the unique id."""
    variables = {"LDAP_URI": slapd.url, "LDAP_BASE": BASE_DN}
    own = {"LDAP_FILTER": "(&(objectClass=posixAccount)(!(loginShell=/bin/false))(uid=%s))"}
    for more, outcome in (({}, Outcome.OK), (own, Outcome.NOT_FOUND)):
        async with logins(load([], {**variables, **more}).configuration.servers[0]) as directory:
            assert (await directory.verdict("tesla", "coil")).outcome is Outcome.OK
            assert (await directory.verdict("daemon", "coil")).outcome is outcome
            assert (await directory.verdict("curie", "radium")).outcome is Outcome.NOT_FOUND
