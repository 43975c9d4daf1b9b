"""Whole scenarios: an ``ldap.toml``, who logs in to the directory of ``harbor.ldif``, and what comes of it.

The sections are those of grafana.md; D is DECISIONS. Where Grafana does otherwise, the scenario says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.grafana.ldap_toml import ATTRIBUTES, BASE, DEV, GROUPS, OUTER, PEOPLE, POSIX, POSIX2, SRE, block, mapping

INVALID, UNREACHABLE, ERROR = "invalid", "unreachable", "error"


@dataclass(frozen=True)
class Person:
    """What a login came to. An attribute of None is not looked at."""

    roles: dict[int, str] = field(default_factory=dict)
    admin: bool | None = False
    server: str | None = None
    username: str | None = None
    name: str | None = None
    email: str | None = None


Login = tuple[str, str, Person | str]


@dataclass(frozen=True)
class Scenario:
    """One file, some logins."""

    proves: str
    toml: str
    logins: tuple[Login, ...]
    environment: dict[str, str] = field(default_factory=dict)


def person(role: str | None = None, **more: object) -> Person:
    """A person with a role in organisation 1, or in none."""
    return Person({1: role} if role else {}, **more)  # type: ignore[arg-type]


ADMIN, EDITOR, VIEWER = person("Admin"), person("Editor"), person("Viewer")
NINA, DORA, OTTO = ("nina", "pw"), ("dora", "pw"), ("otto", "pw")


def one(proves: str, toml: str, login: tuple[str, str], expected: Person | str, **environment: str) -> Scenario:
    """A scenario of one login."""
    return Scenario(proves, toml, ((*login, expected),), environment)


TLS = {"root_ca_cert": "@CA@", "host": "localhost"}
LDAPS = {"use_ssl": True, "extra": "port = @LDAPS@", **TLS}
STARTTLS = {"use_ssl": True, "start_tls": True, **TLS}
PAIR = {"client_cert": "@DIR@/server.pem", "client_key": "@DIR@/server.key"}
NO_PAIR = dict.fromkeys(PAIR)
STRICT = {**LDAPS, **PAIR, "extra": "port = @STRICT@"}
"""A server that demands a certificate and speaks TLS 1.2 alone, where suites are agreed on by name."""
SUITES = ["TLS_NO_SUCH_CIPHER", "tls_ecdhe_ecdsa_with_aes_128_gcm_sha256"]

CONNECTION: Final = [
    one("1.2 host, port: one host", block(), NINA, ADMIN),
    one("1.2 host: the second where the first refuses", block(host="127.0.0.2 127.0.0.1"), NINA, ADMIN),
    one("1.2 host: IPv6 in brackets among several", block(host="[::1] 127.0.0.1"), NINA, ADMIN),
    one("1.2 host: IPv6 without brackets among several", block(host="::1 127.0.0.1"), NINA, ADMIN),
    one("1.2 host absent: no connection, no error at load", block(host=None), NINA, UNREACHABLE),
    one("2.2.1 nobody listens", block(host="127.0.0.2"), NINA, UNREACHABLE),
    one("1.2 use_ssl: LDAPS", block(**LDAPS), NINA, ADMIN),
    one("1.2 use_ssl and start_tls: StartTLS", block(**STARTTLS), NINA, ADMIN),
    one("1.2 start_tls alone upgrades (CHOICE, trap 3)", block(start_tls=True, **TLS), NINA, ADMIN),
    one("1.2 start_tls alone: a stranger's certificate is refused", block(start_tls=True, host="localhost"), NINA, UNREACHABLE),
    one("1.2 root_ca_cert absent: not signed by a known authority", block(**{**LDAPS, "root_ca_cert": None}), NINA, UNREACHABLE),
    one("1.2 root_ca_cert: several paths", block(**{**LDAPS, "root_ca_cert": "@DIR@/server.pem @CA@"}), NINA, ADMIN),
    one("1.2 ssl_skip_verify", block(**{**LDAPS, "root_ca_cert": None}, ssl_skip_verify=True), NINA, ADMIN),
    one("1.2 min_tls_version in any case", block(**LDAPS, min_tls_version="tls1.3"), NINA, ADMIN),
    one("1.2 min_tls_version unknown: ignored", block(**LDAPS, min_tls_version="SSL3"), NINA, ADMIN),
    one("1.2 min_tls_version: a server that does not reach it", block(**STRICT, min_tls_version="TLS1.3"), NINA, UNREACHABLE),
    one("1.2 min_tls_version: a server that just reaches it", block(**STRICT, min_tls_version="TLS1.2"), NINA, ADMIN),
    one("1.2 tls_ciphers: any case, unknown ones dropped", block(**STRICT, tls_ciphers=SUITES), NINA, ADMIN),
    one("1.2 tls_ciphers: none that the server has", block(**STRICT, tls_ciphers=["TLS_NO_SUCH_CIPHER", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]), NINA, UNREACHABLE),
    one("1.2 client_cert and client_key", block(**STRICT), NINA, ADMIN),
    one("1.2 client_cert: a server that demands one", block(**{**STRICT, **NO_PAIR}), NINA, UNREACHABLE),
    one("1.2 client_cert without client_key: not used", block(**LDAPS, client_cert="/nonexistent"), NINA, ADMIN),
    one("1.2 timeout 0 is 10", block(timeout=0), NINA, ADMIN),
    one("1.1 keys in any case", block(extra="PORT = @PORT@").replace("search_filter", "Search_Filter"), NINA, ADMIN),
    one("1.1 unknown keys and tables are passed over", block() + "[servers.teams]\ncolour = 'red'\n", NINA, ADMIN),
]
BINDING: Final = [
    one("2.2 service bind", block(), NINA, ADMIN),
    one("2.2 service bind: wrong password", block(), ("nina", "wrong"), INVALID),
    one("2.2 service bind: unknown name looks the same", block(), ("nobody", "pw"), INVALID),
    one("2.1 empty password", block(), ("nina", ""), INVALID),
    one("2.2 trap 2: the service account's password is wrong (no 401, D2)", block(bind_password="old"), NINA, UNREACHABLE),
    one("2.2 service bind takes %s literally", block(bind_dn=f"cn=%s,ou=services,{BASE}"), ("svc", "pw"), UNREACHABLE),
    one("2.2 single bind", block(bind_dn=f"uid=%s,{PEOPLE}", bind_password=None), NINA, ADMIN),
    one("2.2 single bind: wrong password", block(bind_dn=f"uid=%s,{PEOPLE}", bind_password=""), ("nina", "wrong"), INVALID),
    one("2.3 single bind: a login cannot leave its place in the DN", block(bind_dn=f"uid=%s,{BASE}", bind_password=""), ("nina,ou=people", "pw"), INVALID),
    one("2.3 single bind: a comma in a login", block(bind_dn=f"uid=%s,{PEOPLE}", bind_password=""), ("x,y", "pw"), VIEWER),
    one("2.2 unauthenticated bind", block(bind_dn=f"cn=svc,ou=services,{BASE}", bind_password=None), NINA, ADMIN),
    one("2.2 anonymous bind", block(bind_dn=None, bind_password=None), NINA, ADMIN),
    one("2.2 anonymous bind: wrong password", block(bind_dn="", bind_password=""), ("nina", "wrong"), INVALID),
    one("1.2 a password with special characters (6: 5337)", block(bind_dn=f"cn=odd,ou=services,{BASE}", bind_password=None, extra="port = @PORT@\nbind_password = '''#pass\"wo'rd;%s'''"), NINA, ADMIN),
]
SEARCHING: Final = [
    one("2.2.3 %s several times", block(search_filter="(|(uid=%s)(mail=%s))"), ("nina@harbor.example", "pw"), person("Admin", username="nina")),
    one("trap 7: a mail address where the filter has uid", block(), ("nina@harbor.example", "pw"), INVALID),
    one("2.2.3 bases in order: the first with a hit", block(search_base_dns=[PEOPLE, f"ou=contractors,{BASE}"]), ("twin", "pw"), person("Viewer", name="First")),
    one("2.2.3 bases in order: turned round", block(search_base_dns=[f"ou=contractors,{BASE}", PEOPLE]), ("twin", "second"), person("Viewer", name="Second")),
    one("2.2.3 the second base", block(search_base_dns=[PEOPLE, f"ou=contractors,{BASE}"]), ("carl", "pw"), EDITOR),
    one("2.2.3 outside the bases", block(search_base_dns=[f"ou=east,{PEOPLE}"]), NINA, INVALID),
    one("2.2.3 two entries in one base refuse (D4; Grafana takes the first)", block(), ("dup", "pw"), INVALID),
    one("2.2.3 two entries: multiple_entries = first is Grafana's way", block(multiple_entries="first"), ("dup", "pw"), VIEWER),
    one("2.2.3 aliases are never followed", block(), ("carl", "pw"), INVALID),
    one("2.2.3 aliases are followed when asked for", block((mapping("*", "Viewer"),), dereference_aliases="searching"), ("carl", "pw"), VIEWER),
    one("2.2.3 overlapping bases find one entry twice", block(search_base_dns=[PEOPLE, BASE]), NINA, ADMIN),
    one("2.2.3 a base that does not exist", block(search_base_dns=[f"ou=none,{BASE}"]), NINA, ERROR),
    one("2.2.3 a base that does not exist beside one that does", block(search_base_dns=[PEOPLE, f"ou=none,{BASE}"]), NINA, ERROR),
    one("2.3 * finds nobody", block(), ("*", "pw"), INVALID),
    one("2.3 a filter in the login", block(), ("nina)(uid=*", "pw"), INVALID),
    one("2.3 * in a name", block(), ("a*b", "pw"), person("Viewer", username="a*b")),
    one("2.3 brackets and backslash in a name", block(), ("p(q)\\r", "pw"), person("Viewer", username="p(q)\\r")),
    one("2.3 UTF-8", block(), ("björn", "pw"), person("Viewer", username="björn", name="Björn Ek=Ås")),
    one("2.4 login is the attribute's value, not what was typed", block(), ("NINA", "pw"), person("Admin", username="nina")),
]


def attributes(**changes: str | None) -> dict[str, str]:
    """The attributes with some changed, or left out."""
    return {key: value for key, value in {**ATTRIBUTES, **changes}.items() if value is not None}


READING: Final = [
    one("2.4 names of attributes in any case", block(attributes=attributes(username="UID", name="GIVENNAME", email="MaIl")), NINA, person("Admin", username="nina", name="Nina Holm", email="nina@harbor.example")),
    one("2.4 dn in any case is the entry's DN", block(attributes=attributes(email="DN")), NINA, person("Admin", email=f"uid=nina,{PEOPLE}")),
    one("2.4 trap 8: the first of several mail addresses", block(), DORA, person("Editor", email="dora@harbor.example")),
    one("2.4 trap 9: no first name, no stray blank", block(), DORA, person("Editor", name="Lind")),
    one("2.4 trap 9: no last name", block(attributes=attributes(surname="initials")), NINA, person("Admin", name="Nina")),
    one("2.4 absent is empty", block(), OTTO, person("Viewer", email="")),
    one("1.2 no attributes at all: the name as typed", block(attributes={}), NINA, person("Viewer", username="nina", name="", email="")),
    one("2.4 blanks in a value", block(attributes=attributes(surname=None)), OTTO, person("Viewer", name="Otto")),
]
POSIX_KEYS = {"group_search_filter": "(&(objectClass=posixGroup)(memberUid=%s))", "group_search_base_dns": [POSIX]}
OPS, POSIX_DEV, NIGHT = f"cn=px-ops,{POSIX}", f"cn=px-dev,{POSIX}", f"cn=px-night,{POSIX2}"
PX = (mapping(OPS, "Admin"), mapping(NIGHT, "Editor", org_id=2), mapping(POSIX_DEV, "Viewer"))
BARE = (mapping("px-ops", "Admin"), mapping("px-dev", "Editor"))
GROUP_SEARCH: Final = [
    one("2.5 all values of memberOf", block((mapping(DEV, "Editor", org_id=3), mapping(SRE, "Admin", org_id=2))), NINA, Person({3: "Editor", 2: "Admin"})),
    one("2.5 member_of empty, no filter: no groups", block(attributes=attributes(member_of=None)), NINA, VIEWER),
    one("2.5 member_of another attribute of the person", block((mapping("dev", "Editor"), mapping("night", "Viewer", org_id=2)), attributes(member_of="description")), DORA, Person({1: "Editor", 2: "Viewer"})),
    one("2.5 POSIX: the group's DN, for memberOf", block(PX, **POSIX_KEYS), NINA, ADMIN),
    one("2.5 POSIX: the group's DN, for an empty member_of", block(PX, attributes(member_of=""), **POSIX_KEYS), NINA, ADMIN),
    one("2.5 POSIX: memberOf of the person does not count", block(**POSIX_KEYS), NINA, VIEWER),
    one("2.5 POSIX: union over all bases", block(PX, **{**POSIX_KEYS, "group_search_base_dns": [POSIX, POSIX2]}), DORA, Person({2: "Editor", 1: "Viewer"})),
    one("1.2 POSIX: group bases default to the user bases", block(PX, **{**POSIX_KEYS, "group_search_base_dns": None, "search_base_dns": [BASE]}), NINA, ADMIN),
    one("2.5 POSIX trap 6: bare names by member_of = cn", block(BARE, attributes(member_of="cn"), **POSIX_KEYS), NINA, ADMIN),
    one("2.5 POSIX: the first value of another attribute", block((mapping("Second", "Admin"), mapping("Operations", "Editor")), attributes(member_of="description"), **POSIX_KEYS), NINA, EDITOR),
    one("2.5 POSIX: %s several times", block(PX, group_search_filter="(&(memberUid=%s)(|(memberUid=%s)))", group_search_base_dns=[POSIX]), NINA, ADMIN),
    one("2.5 POSIX: by another attribute of the person", block((mapping(SRE, "Admin"),), group_search_filter="(member=%s)", group_search_filter_user_attribute="dn", group_search_base_dns=[GROUPS]), NINA, ADMIN),
    one("2.5 POSIX: the value is escaped", block((mapping(POSIX_DEV, "Editor"), mapping(OPS, "Admin")), **POSIX_KEYS), ("a*b", "pw"), EDITOR),
    one("2.5 POSIX: no group", block(PX, **POSIX_KEYS), OTTO, INVALID),
    one("2.5 POSIX: a group base that does not exist", block(PX, **{**POSIX_KEYS, "group_search_base_dns": [f"ou=none,{BASE}"]}), NINA, ERROR),
    one("2.5 nested groups are not walked", block((mapping(OUTER, "Admin"), mapping("*", "Viewer"))), NINA, VIEWER),
    one("6 nested groups when asked for", block((mapping(OUTER, "Admin"), mapping("*", "Viewer")), nested_groups=True), NINA, ADMIN),
]
SKIPPED = {
    "GF_AUTH_LDAP_ENABLED": "true", "GF_AUTH_LDAP_CONFIG_FILE": "@FILE@", "GF_AUTH_LDAP_SKIP_ORG_ROLE_SYNC": "true",
}  # fmt: skip
MAPPING: Final = [
    Scenario("2.6 the example", block((mapping(SRE, "Admin"), mapping(DEV, "Editor"), mapping(DEV, "Admin", org_id=2), mapping("*", "Viewer"))), (
        (*NINA, Person({1: "Admin", 2: "Admin"})), (*DORA, Person({1: "Editor", 2: "Admin"})), (*OTTO, VIEWER))),
    one("2.6 the example without lines 2 and 4", block((mapping(SRE, "Admin"), mapping(DEV, "Admin", org_id=2))), DORA, Person({2: "Admin"})),
    one("2.6 the topmost wins", block((mapping("*", "Viewer"), mapping(SRE, "Admin"))), NINA, VIEWER),
    one("2.6 * matches who has no group", block((mapping("*", "Editor"),)), OTTO, EDITOR),
    one("2.6 * is no pattern", block((mapping("cn=*,ou=groups,dc=example,dc=com", "Admin"), mapping("*", "Viewer"))), NINA, VIEWER),
    one("2.6 a group called * is not everyone's", block((mapping(SRE, "Admin"),)), ("björn", "pw"), INVALID),
    one("2.6 letter case", block((mapping(SRE.upper(), "Admin"),)), NINA, ADMIN),
    one("2.6 a blank behind a comma matters", block((mapping(SRE.replace(",", ", "), "Admin"), mapping("*", "Viewer"))), NINA, VIEWER),
    one("2.6 CHOICE: normalised comparison when asked for", block((mapping(SRE.replace(",", ", "), "Admin"),), group_comparison="dn"), NINA, ADMIN),
    one("6 patterns when asked for", block((mapping("cn=s*,ou=groups,dc=example,dc=com", "Admin"),), group_comparison="pattern"), NINA, ADMIN),
    one("2.6 nothing matches", block((mapping(SRE, "Admin"),)), OTTO, INVALID),
    one("2.2.4 nothing matches, and the password is wrong", block((mapping(SRE, "Admin"),)), ("otto", "wrong"), INVALID),
    one("2.2.4 without mappings everybody passes", block(()), OTTO, person()),
    one("1.2 org_role: the first letter is raised", block((mapping("*", "editor"),)), OTTO, EDITOR),
    one("1.2 org_role None", block((mapping("*", "None"),)), OTTO, person("None")),
    one("1.2 org_role empty is Viewer", block((mapping("*", ""),)), OTTO, VIEWER),
    one("1.2 org_id 0 is 1", block((mapping("*", "Editor", org_id=0),)), OTTO, EDITOR),
    one("1.2 org_id", block((mapping("*", "Editor", org_id=7),)), OTTO, Person({7: "Editor"})),
    one("1.2 grafana_admin alone", block((mapping(SRE, None, grafana_admin=True),)), NINA, person(admin=True)),
    one("1.2 grafana_admin false alone gives nothing", block((mapping(SRE, None, grafana_admin=False),)), NINA, INVALID),
    one("2.6 grafana_admin with a role", block((mapping(SRE, "Viewer", grafana_admin=True),)), NINA, person("Viewer", admin=True)),
    one("2.6 a mapping without role leaves its organisation open", block((mapping(SRE, None, grafana_admin=True), mapping(DEV, "Editor"))), NINA, person("Editor", admin=True)),
    one("2.6 grafana_admin is skipped with its mapping", block((mapping(DEV, "Editor"), mapping(SRE, "Admin", grafana_admin=True))), NINA, EDITOR),
    one("2.6 grafana_admin of an open organisation", block((mapping(DEV, "Editor"), mapping(SRE, "Admin", grafana_admin=True, org_id=2))), NINA, Person({1: "Editor", 2: "Admin"}, admin=True)),
    one("1.2 group_dn absent matches nobody", block((mapping(None, "Admin"), mapping("*", "Viewer"))), NINA, VIEWER),
    one("2.6 skip_org_role_sync: no roles, no flag, no rejection", block((mapping(SRE, "Admin", grafana_admin=True),)), OTTO, person(admin=None), **SKIPPED),
    one("2.6 skip_org_role_sync: no roles for who has some either", block(), NINA, person(admin=None), **SKIPPED),
]
SECRET = {"bind_password": None}
EXPRESSIONS: Final = [
    one("1.4 ${NAME} without quotes", block(extra="port = ${DIRECTORY_PORT}"), NINA, ADMIN, DIRECTORY_PORT="@PORT@"),
    one("1.4 $__env{NAME}", block(**SECRET, extra='port = @PORT@\nbind_password = "$__env{LDAP_SECRET}"'), NINA, ADMIN, LDAP_SECRET="svc-secret"),
    one("1.4 $__file{}: white space around is cut", block(**SECRET, extra='port = @PORT@\nbind_password = "$__file{@DIR@/secret}"'), NINA, ADMIN),
    one("1.4 an environment value may hold $__file{}", block(**SECRET, extra='port = @PORT@\nbind_password = "${LDAP_SECRET}"'), NINA, ADMIN, LDAP_SECRET="$__file{@DIR@/secret}"),
    one("1.4 undefined is empty: here an anonymous search", block(bind_dn="", **SECRET, extra='port = @PORT@\nbind_password = "${UNDEFINED}"'), NINA, ADMIN),
    one("1.4 unknown providers are left as they are", block(bind_password="$__other{x}"), NINA, UNREACHABLE),
    one("1.4 expressions in a mapping", block((mapping("${GROUP}", "${ROLE}"),)), NINA, ADMIN, GROUP=SRE, ROLE="admin"),
]
DEAD, LIVE = block(host="127.0.0.2"), block()
CONTRACTORS = block((mapping("*", "Editor", org_id=2),), search_base_dns=[f"ou=contractors,{BASE}"])
SERVERS: Final = [
    one("2.7 dead first", DEAD + LIVE, NINA, person("Admin", server="ldap2")),
    one("2.7 dead last does not matter after ok", LIVE + DEAD, NINA, person("Admin", server="ldap")),
    one("2.7 trap 1: dead last does not hide a wrong password (D2; Grafana: unreachable)", LIVE + DEAD, ("nina", "wrong"), INVALID),
    one("2.7 dead last, unknown name", LIVE + DEAD, ("nobody", "pw"), UNREACHABLE),
    one("2.7 all dead", DEAD + DEAD, NINA, UNREACHABLE),
    one("2.7 not found goes on", CONTRACTORS + LIVE, NINA, person("Admin", server="ldap2")),
    one("2.7 invalid goes on", CONTRACTORS + LIVE, ("twin", "pw"), person("Viewer", server="ldap2")),
    one("2.7 mappings are never merged", CONTRACTORS + LIVE, ("carl", "pw"), Person({2: "Editor"}, server="ldap")),
    one("2.7 no mapping matched goes on", block((mapping(SRE, "Admin"),)) + LIVE, OTTO, person("Viewer", server="ldap2")),
    one("2.7 no mapping matched anywhere", block((mapping(SRE, "Admin"),)) + CONTRACTORS, OTTO, INVALID),
    one("2.7 error stops", block(search_base_dns=[f"ou=none,{BASE}"]) + LIVE, NINA, ERROR),
    one("2.7 error in the middle", CONTRACTORS + block(search_base_dns=[f"ou=none,{BASE}"]) + LIVE, NINA, ERROR),
    one("2.7 invalid, then not found", LIVE + CONTRACTORS, ("nina", "wrong"), INVALID),
    one("2.7 not found anywhere", LIVE + CONTRACTORS, ("nobody", "pw"), INVALID),
]
SCENARIOS: Final = [
    *CONNECTION, *BINDING, *SEARCHING, *READING, *GROUP_SEARCH, *MAPPING, *EXPRESSIONS, *SERVERS,
]  # fmt: skip
