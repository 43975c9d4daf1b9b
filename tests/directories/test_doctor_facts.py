"""What the doctor reads out of certificates, root DSEs, schemas and filters, by tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from gateway.config.load import load
from gateway.config.schema import Server
from gateway.directory.doctor.advice import cause_first, typed_name
from gateway.directory.doctor.certificates import Certificate, faults, read_certificate
from gateway.directory.doctor.narrowing import conjuncts
from gateway.directory.doctor.report import Report, worst
from gateway.directory.doctor.root_dse import filter_attributes, known_names, read_root_dse, wanted_attributes
from gateway.directory.doctor.search import looks_unindexed, meant_base
from gateway.directory.messages import Entry
from gateway.printable import MAX_TEXT, printable

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
AD, START_TLS, PAGED = b"1.2.840.113556.1.4.800", b"1.3.6.1.4.1.1466.20037", b"1.2.840.113556.1.4.319"


def certificate(*names: str, begins: timedelta = -DAY, ends: timedelta = 365 * DAY) -> Certificate:
    return Certificate("CN=dc1", "CN=CA", names, NOW + begins, NOW + ends, "AA:BB")


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (("dc1.example.com",), "dc1.example.com", True),
        (("DC1.example.com",), "dc1.EXAMPLE.com", True),
        (("dc1.example.com",), "dc1.example.com.", True),
        (("dc1.example.com",), "dc2.example.com", False),
        (("*.example.com",), "dc1.example.com", True),
        (("*.example.com",), "a.dc1.example.com", False),
        (("*.example.com",), "example.com", False),
        (("*",), "dc1", False),
        (("dc*.example.com",), "dc1.example.com", False),
        (("127.0.0.1",), "127.0.0.1", True),
        (("*.0.0.1",), "127.0.0.1", False),
        (("::1",), "0:0:0:0:0:0:0:1", True),
        ((), "dc1", False),
    ],
)
def test_names_of_certificates(names: tuple[str, ...], host: str, covered: bool) -> None:
    """RFC 6125 6.4: no partial wildcards, one label only, never for an address."""
    assert certificate(*names).covers(host) is covered


@pytest.mark.parametrize(
    ("given", "host", "found"),
    [
        (certificate("dc1"), "dc1", []),
        (certificate("dc1", ends=31 * DAY), "dc1", []),
        (certificate("dc1", ends=29 * DAY), "dc1", [("expires on 2026-06-30, in 29 days", False)]),
        (certificate("dc1", ends=timedelta(0)), "dc1", [("expired on 2026-06-01", True)]),
        (certificate("dc1", begins=DAY), "dc1", [("valid only from 2026-06-02 on, in 1 days", True)]),
        (certificate("a", "b"), "dc1", [("it is for a, b, not for dc1", True)]),
        (certificate(ends=-DAY), "x", [("expired on 2026-05-31", True), ("it is for no host, not for x", True)]),
    ],
)
def test_faults_of_certificates(given: Certificate, host: str, found: list[tuple[str, bool]]) -> None:
    assert [(fault.text, fault.grave) for fault in faults(given, host, NOW)] == found


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"\x30\x82\xff\xff" + bytes(100), b"no certificate at all"])
def test_a_certificate_that_is_none(octets: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_certificate(octets)


@pytest.mark.parametrize(
    ("attributes", "preset"),
    [
        ({"supportedcapabilities": [AD]}, "active_directory"),
        ({"supportedcapabilities": [AD], "vendorname": [b"Samba Team (https://www.samba.org)"]}, "active_directory"),
        ({"supportedcapabilities": [b"1.2.840.113556.1.4.1851"]}, ""),  # AD LDS has no sAMAccountName
        ({"vendorname": [b"389 Project"], "vendorversion": [b"389-Directory/2.3.1"]}, "389ds"),
        ({"vendorname": [b"389 Project"], "supportedextension": [b"2.16.840.1.113730.3.8.10.3"]}, "freeipa"),
        ({"vendorname": [b"LLDAP"], "vendorversion": [b"lldap_0.6.1"]}, "lldap"),
        ({"objectclass": [b"top", b"OpenLDAProotDSE"]}, "openldap"),
        ({"vendorname": [b"Apache Software Foundation"]}, ""),
        ({}, ""),
    ],
)
def test_the_preset_that_fits(attributes: dict[str, list[bytes]], preset: str) -> None:
    assert read_root_dse(Entry("", attributes)).preset == preset


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (b"20260601120000.0Z", datetime(2026, 6, 1, 12, tzinfo=UTC)),  # MS-ADTS 3.1.1.3.2.3
        (b"20260601120000Z", datetime(2026, 6, 1, 12, tzinfo=UTC)),
        (b"20261341120000Z", None),
        (b"20260601120000", None),
        (b"\xff\xfe", None),
        ("２０２６0601120000Z".encode(), None),
    ],
)
def test_the_clock_of_a_directory(text: bytes, time: datetime | None) -> None:
    assert read_root_dse(Entry("", {"currenttime": [text]})).time == time


def test_what_a_directory_offers() -> None:
    """RFC 4512 5.1."""
    entry = Entry("", {"supportedcontrol": [PAGED], "supportedextension": [START_TLS], "namingcontexts": [b"dc=x"]})
    root = read_root_dse(entry)
    assert (root.paged_results, root.start_tls, root.password_policy) == (True, True, False)
    assert root.naming_contexts == ("dc=x",)


@pytest.mark.parametrize(
    ("description", "names"),
    [
        (b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'RFC4519: NAME of' SUP name )", {"2.5.4.3", "cn", "commonname"}),
        (b"( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch )", {"2.5.4.41", "name"}),
        (b"(1.2.3 NAME 'a')", {"1.2.3", "a"}),
        (b"( memberOf-oid NAME 'memberOf' X-ORIGIN 'Netscape' )", {"memberof-oid", "memberof"}),  # 389-ds
        (b"( 1.2.3 DESC 'no name' )", {"1.2.3"}),
        (b"", set()),
        (b"\xff" * 100, set()),
        (b"( 1.2.3 NAME ('unended", {"1.2.3"}),
    ],
)
def test_attributes_of_a_schema(description: bytes, names: set[str]) -> None:
    """RFC 4512 4.1.2."""
    assert known_names([description]) == names


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("(uid=%s)", ["uid"]),
        ("uid=%s", ["uid"]),
        ("(&(objectClass=person)(|(uid={0})(mail={0})))", ["objectClass", "uid", "mail"]),
        ("(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))", ["objectClass", "member"]),
        ("(cn;lang-de~=%s)", ["cn"]),
        ("({{.UserAttr}}={{.Username}})", []),
        ("(!(loginDisabled>=1))", ["loginDisabled"]),
        ("(:caseExactMatch:=%s)", []),
        ("(&)", []),
    ],
)
def test_attributes_of_a_filter(template: str, names: list[str]) -> None:
    """RFC 4515 3."""
    assert filter_attributes(template) == names


@pytest.mark.parametrize(
    ("settings", "key", "attribute"),
    [
        ({}, "attributes.member_of", "memberOf"),
        ({"attributes": {"email": "mail otherMail"}}, "attributes.email", "otherMail"),
        ({"attributes": {"extra": {"room": "roomNumber"}}}, "attributes.extra.room", "roomNumber"),
        ({"group_search_filter": "(memberUid=%s)"}, "group_search_filter", "memberUid"),
        ({"group_search_filter": "(memberUid=%s)", "group_attr": "ou"}, "group_attr", "ou"),
        ({"use_token_groups": True}, "use_token_groups", "tokenGroups"),
        ({"search_filter": "({{.UserAttr}}=%s)", "user_attr": "employeeNumber"}, "user_attr", "employeeNumber"),
    ],
)
def test_attributes_of_a_configuration(settings: dict[str, object], key: str, attribute: str) -> None:
    """configuration.md 1.3: what a server names must be in the schema."""
    item = {"name": "corp", "host": "dc1", "search_base_dns": ["dc=x"], **settings}
    server = load([], {"CLEARML__servers": json.dumps([item])}).configuration.servers[0]
    assert wanted_attributes(server)[attribute] == key
    assert "dn" not in wanted_attributes(server)


def server_of(**settings: object) -> Server:
    item = {"name": "corp", "host": "dc1", "search_base_dns": ["dc=x"], **settings}
    return load([], {"CLEARML__servers": json.dumps([item])}).configuration.servers[0]


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("(uid=%s)", ["(uid=%s)"]),
        ("uid=%s", ["(uid=%s)"]),
        ("(&(objectClass=person)(uid=%s))", ["(objectClass=person)", "(uid=%s)"]),
        (" ( & (a=1) (|(uid=%s)(mail=%s)) ) ", ["(a=1)", "(|(uid=%s)(mail=%s))"]),
        ("(&(&(a=1)(b=2))(uid=%s))", ["(a=1)", "(b=2)", "(uid=%s)"]),
        ("&(a=1)(uid=%s)", ["(a=1)", "(uid=%s)"]),
        (r"(&(a=\28&)(uid=%s))", [r"(a=\28&)", "(uid=%s)"]),
        ("(!(&(a=1)(uid=%s)))", ["(!(&(a=1)(uid=%s)))"]),
        ("(&)", []),
    ],
)
def test_the_parts_of_a_filter(template: str, parts: list[str]) -> None:
    """RFC 4515 3; parentheses in values are escaped there."""
    assert conjuncts(template) == parts


@pytest.mark.parametrize(
    ("base", "meant"),
    [
        ("dc=exmple,dc=com", "dc=example,dc=com"),
        ("ou=people,dc=exmple,dc=com", "ou=people,dc=example,dc=com"),
        ("ou=people,dc=example,dc=com", ""),
        ("o=other", ""),
        ("", ""),
    ],
)
def test_a_base_that_is_meant(base: str, meant: str) -> None:
    assert meant_base(base, ["dc=example,dc=com", "cn=config"]) == meant


DOMAIN: Final[dict[str, object]] = {"preset": "active_directory"}
SINGLE: Final[dict[str, object]] = {"bind_dn": "uid=%s,dc=x"}


@pytest.mark.parametrize(
    ("settings", "typed", "hint"),
    [
        (DOMAIN, "ada", ""),
        (DOMAIN, "EXAMPLE\\ada", "search_filter compares all of EXAMPLE\\ada: log in as ada"),
        (DOMAIN, "ada@x.org", "log in as ada, or let search_filter compare (userPrincipalName=%s) too"),
        ({}, "ada@x.org", "log in as ada, or let search_filter compare (mail=%s) too"),
        ({"search_filter": "(|(uid=%s)(mail=%s))"}, "ada@x.org", ""),
        ({"upn_domain": "x.org"}, "ada@x.org", "@x.org is put behind it: log in as ada"),
        (SINGLE, "X\\ada", "the name to bind with is made of all of X\\ada: log in as ada"),
        ({}, "X\\", ""),
        ({}, "@", ""),
    ],
)
def test_names_that_are_typed_with_a_domain(settings: dict[str, object], typed: str, hint: str) -> None:
    told = typed_name(server_of(**settings), typed)
    assert hint in told and bool(told) is bool(hint)


@pytest.mark.parametrize(
    ("settings", "reason", "told"),
    [
        ({}, "bind refused: 49 invalidCredentials", "wrong password: bind refused: 49 invalidCredentials"),
        ({}, "bind refused: 49 x (AcceptSecurityContext error, data 52e, v1db1)",
         "wrong password: bind refused: 49 x (AcceptSecurityContext error, data 52e, v1db1)"),
        (SINGLE, "bind refused: 32 noSuchObject", "wrong password or name: bind refused: 32 noSuchObject"),
        ({}, "bind refused: 49 x (data 533); the account is disabled (data 533)",
         "the account is disabled (data 533): bind refused: 49 x (data 533)"),
        ({}, "bind refused: 19 constraintViolation", "bind refused: 19 constraintViolation"),
        ({}, "bind refused: 51 busy", "bind refused: 51 busy"),
        ({}, "unknown name", "unknown name"),
    ],
)  # fmt: skip
def test_the_cause_comes_first(settings: dict[str, object], reason: str, told: str) -> None:
    """RFC 4511 appendix A; what the directory says comes last."""
    assert cause_first(server_of(**settings), reason) == told


@pytest.mark.parametrize(
    ("base", "search", "slow"),
    [(0.001, 0.5, True), (0.001, 0.1, False), (0.1, 0.5, False), (0.0, 0.3, True), (0.0, 0.0, False)],
)
def test_a_search_without_an_index(base: float, search: float, slow: bool) -> None:
    assert looks_unindexed(base, search) is slow


def test_texts_of_directories_are_printable() -> None:
    assert printable("a\x1b[31m\nb\u202e\u200bc\ud800é") == r"a\x1b[31m\nb\u202e\u200bc\ud800é"
    assert len(printable("x" * 10_000)) == MAX_TEXT + 3


def test_the_gravest_mark_counts() -> None:
    assert worst([]) == worst(["skipped"]) == worst(["ok", "skipped"]) == "ok"
    assert worst(["ok", "warn", "skipped"]) == "warn"
    report = Report("Corp", lambda path: f"file:1 {path}")
    report.add("bind", "fail", "no", key="bind_dn", seconds=0.00123)
    report.add("bind", "warn", "perhaps")
    assert report.mark == "fail"
    assert report.as_json()["steps"][0] == {
        "step": "bind", "subject": "", "mark": "fail", "text": "no", "advice": "", "key": "servers.corp.bind_dn",
        "origin": "file:1 servers.corp.bind_dn", "milliseconds": 1.2,
    }  # fmt: skip
