"""``explain login``: what it prints is what was sent, what it says is what a login would do, and it keeps secrets."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import Snapshot, load
from gateway.explain import WrongArguments
from gateway.explain.login import LoginExplanation, explain_login
from gateway.explain.text import login_text
from tests.directories.directory_logins import BIND, SEARCH, elements, logins, requests
from tests.directories.directory_logins import configured as configured_alone
from tests.directories.relay import Relay
from tests.directories.slapd import ADMIN_DN, ADMIN_PASSWORD, BASE_DN, COMPANY, SERVICE_DN, Slapd
from tests.directory.small_directory import Answer, Search, SmallDirectory
from tests.serve.test_clearml_protocol import password_hash

ROOT = Path(__file__).parents[2]
PEOPLE, GROUPS = f"ou=people,{BASE_DN}", f"ou=groups,{BASE_DN}"
GRACE, PASSWORD = f"uid=grace,{PEOPLE}", "cobol-1959"
ADMINS, STAFF = f"cn=admins,{GROUPS}", f"cn=all staff,{GROUPS}"
GREETING = ("search", "", "base", "(objectClass=*)")
SCOPES = {b"\0": "base", b"\1": "one_level", b"\2": "subtree"}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company", tls=True) as started:
        yield started


def configured(directory: Path, *servers: Mapping[str, object], **more: object) -> Snapshot:
    file = directory / "gateway.json"
    file.write_text(json.dumps({"servers": servers, **more}, indent=1))
    return load([file], {}, working_directory=directory)


def dumped(explanation: LoginExplanation) -> str:
    """Everything that may be printed: text and document."""
    return "\n".join(login_text(explanation)) + json.dumps(asdict(explanation), ensure_ascii=False)


# What is printed is what was sent (DECISIONS 37)


def as_text(tag: int, content: bytes) -> str:
    """RFC 4515 of an encoded filter (RFC 4511 4.5.1.7)."""
    if tag in (0xA0, 0xA1, 0xA2):
        return f"({'&|!'[tag - 0xA0]}{''.join(as_text(*part) for part in elements(content))})"
    if tag == 0x87:
        return f"({content.decode()}=*)"
    assert tag == 0xA3
    (_, name), (_, value) = elements(content)
    escaped = [f"\\{octet:02x}" if octet in b"\0()*\\" or octet > 127 else chr(octet) for octet in value]
    return f"({name.decode()}={''.join(escaped)})"


def sent_operations(sent: bytes) -> list[tuple[str, ...]]:
    """Kind, name or base, scope and filter of each bind and search."""
    found: list[tuple[str, ...]] = []
    for tag, parts in requests(sent):
        if tag == BIND:
            found.append(("bind", parts[1][1].decode(), "", ""))
        elif tag == SEARCH:
            found.append(("search", parts[0][1].decode(), SCOPES[parts[1][1]], as_text(*parts[6])))
    return found


async def sent_by_a_login(slapd: Slapd, changes: Mapping[str, object], login: str, password: str) -> list[tuple[str, ...]]:
    """The same, of a login without a trace."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        settings = slapd.server(**{"urls": [f"ldap://127.0.0.1:{relay.port}"], **changes})
        async with logins(configured_alone(**settings)) as server:
            await server.verdict(login, password)
        return sent_operations(bytes(relay.sent))
    finally:
        await relay.close()


SINGLE = {"bind_dn": f"uid=%s,{PEOPLE}", "bind_password": ""}
BY_UID = {"group_search_filter": "(memberUid=%s)", "group_search_base_dns": [GROUPS]}
BY_DN = {"group_search_filter": "(member={{.UserDN}})", "group_search_base_dns": [GROUPS]}
# what it proves, settings, login, password or None, round trips, admitted
ROWS: list[tuple[str, Mapping[str, object], str, str | None, int, bool]] = [
    ("issue text, memberOf in 2 round trips", {}, "grace", PASSWORD, 2, True),
    ("issue text, a group search in 3", BY_UID, "alan", "enigma", 3, True),
    ("RFC 4515 3, special characters", BY_UID, "o*(brien)", "transporter", 3, True),
    ("RFC 4515 3, UTF-8", BY_UID, "jürgen", "pä:ss", 3, True),
    ("RFC 4514, a DN with special characters in a filter", BY_DN, "bob", "st*r(light)\\", 3, True),
    ("vault.md 5, level by level", {"nested_groups": True}, "grace", PASSWORD, 5, True),
    ("vault.md 5, anonymous group search binds as nobody", {**BY_DN, "anonymous_group_search": True}, "grace", PASSWORD, 4, True),
    ("RFC 2696, a second page takes a connection of its own", {**BY_DN, "page_size": 1}, "grace", PASSWORD, 6, True),
    ("DECISIONS 5, an unknown name costs a bind as nobody", {}, "nobody", PASSWORD, 2, False),
    ("a wrong password", {}, "grace", "wrong-one", 2, False),
    ("DECISIONS 4, an ambiguous name", {"search_base_dns": [BASE_DN]}, "sam", "stargate", 2, False),
    ("grafana.md 2.2, single bind", SINGLE, "grace", PASSWORD, 2, True),
    ("vault.md 4.2, direct", {"bind_dn": "", "bind_password": "", "user_dn": PEOPLE}, "grace", PASSWORD, 2, True),
    ("grafana.md 2.2, anonymous", {"bind_dn": "", "bind_password": ""}, "grace", PASSWORD, 2, True),
    ("no password: all but the bind", BY_DN, "grace", None, 2, True),
    ("no password: binds first, so nothing", SINGLE, "grace", None, 0, False),
    ("RFC 4513 5.1.2, an empty password reaches nobody", {}, "grace", " ", 0, False),
    ("NUL in a name reaches nobody", {}, "gr\0ace", PASSWORD, 0, False),
    ("DECISIONS 14, an access key reaches nobody", {}, "A" * 30, PASSWORD, 0, False),
]  # fmt: skip


async def test_an_api_key_in_place_of_a_password(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 14: no directory sees it, as at a login; without the dialect it is a password like others."""
    for account, asked in (("myorg", False), ("", True)):
        snapshot = configured(tmp_path, slapd.server(), conjur={"account": account})
        explanation = await explain_login(snapshot, "grace", "a" * 52)
        assert (explanation.admitted, bool(explanation.servers)) == (False, asked)
        assert ("has the form of an API key" in explanation.verdict) is not asked
        assert "a" * 52 not in dumped(explanation)


@pytest.mark.parametrize(
    ("changes", "login", "password", "trips", "admitted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
async def test_what_is_printed_was_sent(
    slapd: Slapd, tmp_path: Path, changes: Mapping[str, object], login: str, password: str | None, trips: int,
    admitted: bool,
) -> None:  # fmt: skip
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        snapshot = configured(tmp_path, slapd.server(**{"urls": [f"ldap://127.0.0.1:{relay.port}"], **changes}))
        explanation = await explain_login(snapshot, login, password)
    finally:
        await relay.close()
    shown = [operation for answer in explanation.servers for operation in answer.operations]
    sent = sent_operations(bytes(relay.sent))
    # The first connection says one thing before it is there for logins: the service's bind, or a greeting.
    assert sent[:1] in ([], [("bind", snapshot.configuration.servers[0].bind_dn, "", "")], [GREETING])
    assert [(one.kind, one.dn, one.scope, one.filter) for one in shown] == sent[1:]
    assert sum(answer.round_trips for answer in explanation.servers) == len(sent[1:]) == trips
    if trips and password is not None:
        assert sent == await sent_by_a_login(slapd, changes, login, password)
    assert {one.host for one in shown} <= {f"127.0.0.1:{relay.port}"}
    assert explanation.admitted is admitted
    printed = "\n".join(login_text(explanation))
    for one in shown:
        expected = f"search {one.scope} {one.dn} {one.filter}" if one.kind == "search" else f"bind {one.dn or '(anonymous)'}"
        assert f"  {expected}" in printed
    if password and password.strip():
        assert password not in dumped(explanation)
    if sent:
        assert "svc-secret" not in dumped(explanation)


async def test_bases_asked_at_once_are_one_round_trip(slapd: Slapd, tmp_path: Path) -> None:
    bases = [PEOPLE, f"ou=contractors,{BASE_DN}"]
    explanation = await explain_login(configured(tmp_path, slapd.server(search_base_dns=bases)), "grace")
    (answer,) = explanation.servers
    assert [one.dn for one in answer.operations] == bases
    assert answer.round_trips == 1


# Groups and where they come from; what they give, and which line gives it


SOURCES: list[tuple[str, Mapping[str, object], str, dict[str, str]]] = [
    ("memberOf", {}, "alan", {"developers": "memberOf"}),
    ("group search", BY_UID, "alan", {"build": f"group search below {GROUPS}"}),
    ("two bases", {**BY_DN, "group_search_base_dns": [GROUPS, f"ou=projects,{BASE_DN}"]}, "linus",
     {"developers": f"group search below {GROUPS}", "admins": f"group search below ou=projects,{BASE_DN}"}),
    ("nested", {"nested_groups": True}, "alan",
     {"developers": "memberOf", "all staff": f"nested: holds cn=developers,{GROUPS}", "everybody": f"nested: holds {STAFF}"}),
    ("nested, above one of several", {"nested_groups": True}, "lovelace",
     {"developers": "memberOf", "Research, Development": "memberOf",
      "all staff": f"nested: holds one of cn=developers,{GROUPS} | cn=Research\\, Development,{GROUPS}",
      "everybody": f"nested: holds {STAFF}"}),
    ("groups listed by what a group search finds", {"group_search_filter": "(uid=%s)", "group_attr": "memberOf", "group_search_base_dns": [PEOPLE]},
     "alan", {"developers": f"group search below {PEOPLE}"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "login", "sources"), [row[1:] for row in SOURCES], ids=[row[0] for row in SOURCES])
async def test_where_groups_come_from(
    slapd: Slapd, tmp_path: Path, changes: Mapping[str, object], login: str, sources: dict[str, str]
) -> None:
    """Issue text: groups with where each came from."""
    explanation = await explain_login(configured(tmp_path, slapd.server(**changes)), login)
    account = explanation.servers[0].account
    assert account is not None
    assert {group.name: group.source for group in account.groups} == sources
    lines = login_text(explanation)
    for group in account.groups:
        assert f"    {group.name}  {group.dn}  <- {group.source}" in lines


SID = b"\x01\x02\0\0\0\0\0\x05\x15\0\0\0"


async def test_groups_of_active_directory(tmp_path: Path) -> None:
    """MS-ADTS: the primary group by its relative id; ``tokenGroups`` by SID. Samba has the same in its own tests."""

    def answer(search: Search) -> Answer:
        wanted = dict(search.pairs)
        if "uid" in wanted:
            return Answer([("CN=Ada,DC=x", {"objectSid": [SID + b"\1\0\0\0"], "primaryGroupID": [b"513"]})])
        if search.attributes == ("tokenGroups",):
            return Answer([("CN=Ada,DC=x", {"tokenGroups": [SID + b"\2\0\0\0"]})])
        number = int.from_bytes(wanted["objectSid"][-4:], "little")
        return Answer([(f"CN=g{number},DC=x", {"cn": [f"g{number}".encode()]})])

    directory = await SmallDirectory.start(answer)
    server = {"name": "ad", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["DC=x"]}
    try:
        primary = await explain_login(configured(tmp_path, {**server, "primary_group": True}), "ada")
        token = await explain_login(configured(tmp_path, {**server, "use_token_groups": True}), "ada")
    finally:
        await directory.close()
    found = [one.servers[0].account for one in (primary, token)]
    assert [(one.groups[0].name, one.groups[0].source) for one in found if one] == [
        ("g513", "primary group"), ("g2", "tokenGroups"),
    ]  # fmt: skip


MAPPINGS = [
    {"group_dn": ADMINS.upper(), "org_role": "Admin", "policies": ["ops", "audit"]},
    {"group_dn": f"cn=nobody,{GROUPS}", "clearml_role": "superuser"},
    {"group_dn": "*", "org_role": "Viewer", "policies": ["audit", "all"]},
    {"group_dn": f"cn=admins, {GROUPS}", "org_id": 2, "org_role": "Editor"},
]


OVERRULED = "without effect: an earlier match rules this organisation"


async def test_rules_are_named_with_their_lines(slapd: Slapd, tmp_path: Path) -> None:
    """Issue text: mappings matched with their file:line. DECISIONS 6 and 8 say which count."""
    server = slapd.server(
        group_mappings=MAPPINGS, attributes={"extra": {"number": "employeeNumber", "pw": "userPassword"}},
        clearml={"admin_users": ["GRACE"], "groups": {"admins": ["admins"]}}, bind_dn=ADMIN_DN, bind_password=ADMIN_PASSWORD,
    )  # fmt: skip
    snapshot = configured(tmp_path, server, admins=["group:corp/admins", "user:ada", f"group:{ADMINS}"])
    (answer,) = (explanation := await explain_login(snapshot, "grace")).servers
    lines = Path(snapshot.files[0]).read_text().splitlines()
    rules = [(rule.key, rule.matches, rule.gives) for rule in answer.rules]
    assert rules == [
        ("servers.corp.group_mappings.0", ADMINS.upper(), "Grafana organisation 1: role Admin; policies ops, audit"),
        ("servers.corp.group_mappings.2", "*", f"Grafana organisation 1: role Viewer ({OVERRULED}); policies audit, all"),
        ("admins", "group:corp/admins", "administrator of the gateway; ClearML role admin"),
        ("admins", f"group:{ADMINS}", "administrator of the gateway; ClearML role admin"),
        ("servers.corp.clearml.admin_users", "GRACE", "ClearML role admin"),
        ("servers.corp.clearml.groups.admins", "admins", "ClearML role admin"),
    ]  # fmt: skip
    written = {"admins": '"admins": [', "servers.corp.clearml.admin_users": '"admin_users": [', "servers.corp.clearml.groups.admins": '"admins": ['}
    for rule in answer.rules:
        place, line, column = rule.origin.rsplit(":", 2)
        assert place == str(snapshot.files[0])
        expected = written.get(rule.key, f'"group_dn": "{rule.matches}"')
        assert lines[int(line) - 1][int(column) - 1 :].startswith(expected)
    assert [text.partition(": ")[2].partition(" is a group")[0] for text in answer.near_misses] == [f"cn=admins, {GROUPS}"]
    grant = answer.grant
    assert grant is not None and (dict(grant.org_roles), grant.policies, grant.admin) == ({1: "Admin"}, ("ops", "audit", "all"), True)
    assert answer.account is not None and answer.account.attributes == {"number": ("1906",), "pw": ("(hidden)",)}
    assert PASSWORD not in dumped(explanation)


async def test_the_configuration_refuses(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 6: required mappings; the near miss is the advice."""
    server = slapd.server(group_mappings=MAPPINGS[1:2] + MAPPINGS[3:], require_mapping=True)
    explanation = await explain_login(configured(tmp_path, server), "grace", PASSWORD)
    assert not explanation.admitted
    assert "require_mapping" in explanation.verdict and "another spelling" in explanation.advice[0]


OTHERS = [{"group_dn": f"cn=x{number},{GROUPS}", "org_role": "Viewer"} for number in range(3)]
# who, settings, the advice with D for the file
UNMAPPED: list[tuple[str, dict[str, object], str]] = [
    ("alan", {}, "none of the groups below is named by a mapping [servers.corp.group_mappings: D:16:6 to D:24:6]"),
    ("alan", {"group_mappings": OTHERS[:1]}, "none of the groups below is named by a mapping [servers.corp.group_mappings: D:16:6]"),
    ("bare", {}, "their entry has no memberOf that bind_dn may read: check attributes.member_of [servers.corp.attributes.member_of: "),
    ("bare", {"attributes": {"username": "uid", "member_of": ""}}, "groups are not looked for: set attributes.member_of, or group_search_filter"),
    ("bare", BY_DN, "the search for groups below found none: check group_search_filter [servers.corp.group_search_filter: D:"),
]


@pytest.mark.parametrize(("who", "settings", "expected"), UNMAPPED, ids=[str(place) for place in range(len(UNMAPPED))])
async def test_whom_no_mapping_names(
    slapd: Slapd, tmp_path: Path, who: str, settings: dict[str, object], expected: str
) -> None:
    """grafana.md 2.7: where to look, since the person's password is right."""
    server = slapd.server(**{"require_mapping": True, "group_mappings": OTHERS, **settings})
    explanation = await explain_login(configured(tmp_path, server), who)
    (told,) = explanation.advice
    assert told.replace(str(tmp_path / "gateway.json"), "D").startswith(expected)


async def test_a_mapping_that_nobody_asked_for(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 2.7: ``require_mapping`` stands nowhere in an ``ldap.toml``."""
    (tmp_path / "ldap.toml").write_text(
        f'[[servers]]\nhost = "127.0.0.1"\nport = {slapd.port}\nsearch_filter = "(uid=%s)"\nsearch_base_dns = ["{PEOPLE}"]\n'
        f'[[servers.group_mappings]]\ngroup_dn = "cn=x,{GROUPS}"\norg_role = "Viewer"\n'
    )
    explanation = await explain_login(load([tmp_path / "ldap.toml"], {}), "alan")
    groups, required = explanation.advice
    assert groups == "groups are not looked for: set attributes.member_of, or group_search_filter"
    assert required == (
        "Grafana requires a mapping, and so do files read by its rules; who wants none: in a further file "
        'servers = [{ name = "ldap", require_mapping = false }]'
    )


# Who decides (DECISIONS 2, 3, 7, 11)


LOCAL_USERS = [
    {"username": "Grace", "password_hash": password_hash("lovelace"), "groups": ["ops"], "clearml_role": "superuser"},
    {"username": "gone", "password_hash": password_hash("lovelace"), "disabled": True},
]


async def test_local_users_never_reach_a_directory(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 2."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        server = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"])
        mapping = [{"group_dn": "ops", "policies": ["run"]}]
        snapshot = configured(tmp_path, server, users=LOCAL_USERS, group_mappings=mapping)
        told = [
            (await explain_login(snapshot, name, password)).admitted
            for name, password in [("GRACE", "lovelace"), ("grace", "wrong"), ("grace", None), ("gone", "lovelace"), ("gone", None)]
        ]
        assert told == [True, False, True, False, False]
        (answer,) = (await explain_login(snapshot, "grace")).servers
        assert [rule.key for rule in answer.rules] == ["group_mappings.0", "users.grace.clearml_role"]
        assert relay.connections == 0
        # A server that is named is asked, whatever the local users say (DECISIONS 3).
        assert "a local user is called grace" in (await explain_login(snapshot, "grace", PASSWORD, "corp")).verdict
        assert relay.connections
    finally:
        await relay.close()


async def test_the_realm_in_order(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 2: invalid, not found and unreachable go on, ok stops, a wrong password anywhere is one."""
    dead = {"name": "dead", "urls": ["ldap://127.0.0.1:1"], "search_base_dns": [PEOPLE]}
    elsewhere = slapd.server(name="elsewhere", search_base_dns=[f"ou=contractors,{BASE_DN}"])
    outside = slapd.server(name="outside", realm=False)
    snapshot = configured(tmp_path, dead, elsewhere, slapd.server(), slapd.server(name="last"), outside)
    for password in (PASSWORD, None):
        explanation = await explain_login(snapshot, "grace", password)
        assert explanation.admitted
        assert [(one.server, one.outcome) for one in explanation.servers] == [
            ("dead", "unreachable"), ("elsewhere", "not found"), ("corp", "ok"), ("last", "not reached"),
        ]  # fmt: skip
    wrong = await explain_login(snapshot, "grace", "wrong")
    assert wrong.verdict == "grace is not let in: corp: wrong password: bind refused: 49 invalidCredentials"
    assert wrong.advice == []
    assert (await explain_login(snapshot, "grace", PASSWORD, "outside")).admitted
    unreachable = await explain_login(snapshot, "grace", PASSWORD, "dead")
    file = snapshot.files[0]
    assert "Connection refused" in unreachable.verdict
    assert unreachable.advice[0].startswith(f"check urls [servers.dead.urls: {file}:")
    assert unreachable.advice[1] == f"try the connections: ldap-gateway doctor -c {file} --server dead"
    assert unreachable.servers[0].round_trips == 0 and unreachable.servers[0].operations == []
    assert "\n".join(login_text(unreachable)).count("Connection refused") == 1


async def test_a_server_that_binds_first_needs_the_password(slapd: Slapd, tmp_path: Path) -> None:
    """Brief of the command: the name that would be bound; the rest is undecided, and no server behind it is hidden."""
    single = slapd.server(name="single", **SINGLE)
    explanation = await explain_login(configured(tmp_path, single), "a,b")
    assert not explanation.admitted and explanation.verdict.startswith("undecided")
    assert explanation.servers[0].would_bind == f"uid=a\\,b,{PEOPLE}"
    assert any("--password-stdin" in line for line in login_text(explanation))
    behind = await explain_login(configured(tmp_path, single, slapd.server()), "grace")
    assert [one.outcome for one in behind.servers] == ["undecided", "ok"] and behind.admitted


async def test_the_whitelist_is_named(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 7: in force where the registration says so and no company opens the door."""
    closed = await explain_login(configured(tmp_path, slapd.server(), clearml={"registration": "whitelist"}), "grace")
    assert closed.servers[0].whitelist and "whitelist" in closed.verdict
    company = {"default_company": "d1bd92a3b039400cbafc60a7a5b1e52b"}
    server = slapd.server(clearml=company)
    opened = await explain_login(configured(tmp_path, server, clearml={"registration": "whitelist"}), "grace")
    assert not opened.servers[0].whitelist and "whitelist" not in opened.verdict


async def test_a_barred_account(slapd: Slapd, tmp_path: Path) -> None:
    """draft-behera 5.3: without a password too, with its groups; every reason is told."""

    def answer(search: Search) -> Answer:
        entry = {"uid": [b"ada"], "userAccountControl": [b"514"], "lockoutTime": [b"5"], "memberOf": [b"cn=dev,dc=x"]}
        return Answer([("cn=Ada,dc=x", entry)])

    directory = await SmallDirectory.start(answer)
    try:
        server = {"name": "ad", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["dc=x"]}
        without = await explain_login(configured(tmp_path, server), "ada")
        entered = await explain_login(configured(tmp_path, server), "ada", "right")
    finally:
        await directory.close()
    assert not without.admitted and not entered.admitted
    reasons = "the account is disabled (userAccountControl); the account is locked (lockoutTime)"
    assert without.verdict == f"ada is not let in: ad: {reasons}"
    assert without.servers[0].account is not None and without.servers[0].account.groups[0].name == "dev"
    assert "the password is right, but the account is disabled" in entered.verdict


# Faults and hostile answers


async def test_silence_ends_within_login_timeout(tmp_path: Path) -> None:
    directory = await SmallDirectory.start(lambda search: None)
    try:
        server = {"name": "mute", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["dc=x"], "login_timeout": 0.3}
        (answer,) = (explanation := await explain_login(configured(tmp_path, server), "ada", "x")).servers
    finally:
        await directory.close()
    assert answer.outcome == "unreachable" and "login_timeout" in answer.reason
    assert [(one.kind, one.result) for one in answer.operations] == [("search", "")]
    assert any("-> no answer" in line for line in login_text(explanation))


async def test_a_refused_service_account(slapd: Slapd, tmp_path: Path) -> None:
    explanation = await explain_login(configured(tmp_path, slapd.server(bind_password="planted-wrong")), "grace", PASSWORD)
    assert "check bind_dn and bind_password" in explanation.verdict and SERVICE_DN in explanation.verdict
    assert "planted-wrong" not in dumped(explanation)


# What to do about it: settings, login, password, the verdict, the advice. ``{file}`` is the configuration's.
ADVICE: list[tuple[str, Mapping[str, object], str, str | None, str, list[str]]] = [
    ("not found", {}, "no one", None, "unknown name",
     ["see what keeps the person from being found: ldap-gateway doctor -c {file} --server corp --user 'no one'"]),
    ("typed with a domain", {}, "EXAMPLE\\grace", None, "unknown name", ["search_filter compares all of EXAMPLE\\grace: log in as grace", "see"]),
    ("a base that is not there", {"search_base_dns": [f"ou=typo,{BASE_DN}"]}, "grace", None, "32 noSuchObject; check search_base_dns",
     ["check search_base_dns [servers.corp.search_base_dns: {file}:", "try"]),
    ("a group base that is not there", {**BY_DN, "group_search_base_dns": [f"ou=typo,{BASE_DN}"]}, "grace", None,
     "32 noSuchObject; check group_search_base_dns", ["check group_search_base_dns [servers.corp.group_search_base_dns: {file}:", "try"]),
    ("anonymous", {"bind_dn": "", "bind_password": "", "search_base_dns": [f"ou=typo,{BASE_DN}"]}, "grace", None, "32 noSuchObject",
     ["nobody in particular may search there: set bind_dn and bind_password [servers.corp.bind_dn: {file}:", "try"]),
    ("the service is refused", {"bind_password": "planted-wrong"}, "grace", None, SERVICE_DN,
     ["check bind_dn [servers.corp.bind_dn: {file}:", "try"]),
    ("a name that cannot be resolved", {"urls": ["ldap://no-such-host.invalid"]}, "grace", None, "cannot be resolved",
     ["check urls [servers.corp.urls: {file}:", "try"]),
    ("a wrong password where people bind first", SINGLE, "grace", "wrong-one", "corp: wrong password or name: bind refused: 49",
     ["if the password is right, check bind_dn [servers.corp.bind_dn: {file}:"]),
    ("typed with a domain where people bind first", SINGLE, "X\\grace", "wrong-one", "wrong password or name",
     ["the name to bind with is made of all of X\\grace: log in as grace"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "login", "password", "verdict", "advice"), [row[1:] for row in ADVICE], ids=[row[0] for row in ADVICE]
)
async def test_advice(
    slapd: Slapd, tmp_path: Path, changes: Mapping[str, object], login: str, password: str | None, verdict: str,
    advice: list[str],
) -> None:  # fmt: skip
    """Each begins with the cause, names the line, and has commands that can be pasted."""
    snapshot = configured(tmp_path, slapd.server(**changes))
    explanation = await explain_login(snapshot, login, password)
    assert verdict in explanation.verdict
    expected = [text.replace("{file}", str(snapshot.files[0])) for text in advice]
    assert len(explanation.advice) == len(expected)
    assert all(told.startswith(text) for told, text in zip(explanation.advice, expected, strict=True)), explanation.advice
    assert "planted-wrong" not in dumped(explanation) and "wrong-one" not in dumped(explanation)


async def test_a_port_of_ldaps_asked_in_clear(slapd: Slapd, tmp_path: Path) -> None:
    server = slapd.server(urls=[slapd.ldaps_url.replace("ldaps:", "ldap:")])
    explanation = await explain_login(configured(tmp_path, server), "grace")
    assert explanation.advice[0].startswith("does that port speak TLS from the first octet? Then write ldaps://")


async def test_an_entry_without_a_name(slapd: Slapd, tmp_path: Path) -> None:
    server = slapd.server(attributes={"username": "carLicense"}, search_filter="(uid=%s)")
    for password in (None, PASSWORD):
        (answer,) = (await explain_login(configured(tmp_path, server), "grace", password)).servers
        assert answer.warnings == ["the entry has no carLicense (attributes.username): the name as typed is used"]
    (named,) = (await explain_login(configured(tmp_path, slapd.server()), "grace")).servers
    assert named.warnings == []


async def test_mappings_that_nearly_match(slapd: Slapd, tmp_path: Path) -> None:
    """By the group's name, and in another branch; not where the group is mapped by another line."""
    names = ["admins", f"cn=Admins,ou=group,{BASE_DN}", f"cn=nobody,{GROUPS}"]
    mappings = [{"group_dn": name, "admin": True} for name in names]
    for comparison in ("exact", "dn"):
        server = slapd.server(group_mappings=mappings, group_comparison=comparison)
        (answer,) = (await explain_login(configured(tmp_path, server), "grace")).servers
        told = [text.partition(": ")[2] for text in answer.near_misses]
        assert told == [f"{name} is no group of this person; their group admins is called {ADMINS}" for name in names[:2]]
    mapped = slapd.server(group_mappings=[*mappings, {"group_dn": ADMINS, "admin": True}])
    assert (await explain_login(configured(tmp_path, mapped), "grace")).servers[0].near_misses == []


# conjur.services, who logs in, what is said; conjur.md 5, DECISIONS 3 and 9
OF_CONJUR: list[tuple[dict[str, object], str, str]] = [
    ({"corp": {"allow": "all"}}, "alan", "let in by service corp: conjur.services.corp.allow; "),
    ({"CORP": {"allow": ["group:developers"], "networks": ["10.0.0.0/8"]}}, "alan",
     "let in by service corp, from 10.0.0.0/8 alone: conjur.services.CORP.allow; "),
    ({"corp": {"allow": ["group:develpers", f"group:{ADMINS}", "user:nobody"]}}, "alan",
     "not let in by service corp: conjur.services.corp.allow names neither alan nor a group of theirs; "),
    ({}, "alan", "not let in: conjur.services has no corp"),
    ({"corp": {"allow": "all"}}, "ada", "let in wherever no service is named"),
    ({"corp": {"allow": "all"}}, "nobody", ""),
]  # fmt: skip


@pytest.mark.parametrize(("services", "login", "said"), OF_CONJUR)
async def test_what_conjur_says(slapd: Slapd, tmp_path: Path, services: dict[str, object], login: str, said: str) -> None:
    users = [{"username": "ada", "password_hash": password_hash("lovelace")}]
    snapshot = configured(tmp_path, slapd.server(), users=users, conjur={"account": "myorg", "services": services})
    (answer,) = (explanation := await explain_login(snapshot, login)).servers
    place = str(snapshot.origin(("conjur", "services", *services, "allow")))
    assert answer.conjur == (f"{said}{place}" if said.endswith("; ") else said)
    assert (f"  Conjur: {answer.conjur}" in login_text(explanation)) is bool(said)
    off = configured(tmp_path, slapd.server(), users=users, conjur={"services": services})
    assert (await explain_login(off, login)).servers[0].conjur == ""


async def test_certificates_that_cannot_be_read(slapd: Slapd, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text((slapd.ca_file).read_text())
    snapshot = configured(tmp_path, slapd.server(urls=[slapd.ldaps_url], root_ca_cert=["ca.pem"]))
    assert (await explain_login(snapshot, "grace")).admitted
    (tmp_path / "ca.pem").unlink()
    explanation = await explain_login(snapshot, "grace")
    assert not explanation.admitted and "ca.pem" in explanation.verdict


async def test_hostile_texts_stay_on_their_line(tmp_path: Path) -> None:
    """Terminal escapes, line ends and C1 controls from the directory or the typed name reach no terminal."""
    evil = "\x1b]0;owned\x07\x9b31m\u202e\nverdict: ok"

    def answer(search: Search) -> Answer:
        entry = {"uid": [evil.encode()], "mail": [evil.encode()], "memberOf": [evil.encode(), f"cn={evil},dc=x".encode()], "title": [b"\xff\x1b"]}
        return Answer([(f"cn={evil},dc=x", entry)])

    directory = await SmallDirectory.start(answer)
    try:
        server = {"name": "evil", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["dc=x"], "attributes": {"extra": {"t": "title"}}}
        explanation = await explain_login(configured(tmp_path, server), f"ada{evil}")
    finally:
        await directory.close()
    lines = login_text(explanation)
    assert explanation.admitted and all(line.isprintable() for line in lines)
    assert any("(uid=ada\\1b]0;owned\\07" in line for line in lines)
    printed = json.dumps(asdict(explanation))
    assert printed.isascii() and printed.isprintable()


async def test_what_a_daemon_would_log_is_told(slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One place to look at: the warnings of the engine stand in the answer, and the logger is left as it was."""
    handlers = list(logging.getLogger("gateway").handlers)
    explanation = await explain_login(configured(tmp_path, slapd.server(max_groups=1)), "grace")
    assert any("max_groups" in text for text in explanation.servers[0].warnings)
    assert any(line.startswith("  warning: ") for line in login_text(explanation))
    assert logging.getLogger("gateway").handlers == handlers
    assert capsys.readouterr().err == ""


async def test_a_server_that_is_not_known(slapd: Slapd, tmp_path: Path) -> None:
    with pytest.raises(WrongArguments, match="there is no server nix; known: corp"):
        await explain_login(configured(tmp_path, slapd.server()), "grace", server="nix")


@pytest.mark.parametrize("password", [PASSWORD, None])
@pytest.mark.parametrize("name", ["", " ", "x" * 1025, "\udcff"])
async def test_names_that_reach_nobody(slapd: Slapd, tmp_path: Path, name: str, password: str | None) -> None:
    explanation = await explain_login(configured(tmp_path, slapd.server()), name, password)
    assert not explanation.admitted
    assert not [one for answer in explanation.servers for one in answer.operations]
    assert all(line.isprintable() for line in login_text(explanation))
    assert not explanation.verdict.startswith(" ")


# The command


def explain(directory: Path, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of ``ldap-gateway explain``."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "explain", *arguments, "-c", str(directory / "gateway.json")],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, input=stdin, text=True, errors="surrogateescape",
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_command(slapd: Slapd, tmp_path: Path) -> None:
    """Exit codes, where the password comes from, and one document of a stable shape."""
    configured(tmp_path, slapd.server())
    code, out, _ = explain(tmp_path, "login", "grace")
    assert (code, out.splitlines()[0]) == (0, "grace is let in by corp, if the password is right")
    assert "bind: not tried (no password given; --password-stdin or --password)" in out
    code, out, _ = explain(tmp_path, "login", "grace", "--password-stdin", "--json", stdin=f"{PASSWORD}\n")
    document: dict[str, Any] = json.loads(out)
    assert code == 0 and PASSWORD not in out
    assert list(document) == ["username", "password_given", "admitted", "verdict", "advice", "servers", "not_asked"]
    assert document["servers"][0]["grant"]["clearml_role"] == "user"
    # What is no UTF-8 is a wrong password like any other.
    assert explain(tmp_path, "login", "grace", "--password-stdin", stdin="wr\udcffng\n")[0] == 1
    assert not (tmp_path / "var").exists(), "the store is never opened"
    (tmp_path / "gateway.json").write_text("{")
    assert explain(tmp_path, "login", "grace")[0] == 78
