"""Who has bound with a name that is no DN: no entry is taken for them without a proof (MS-ADTS 5.1.1.1.1, RFC 4532)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.directory.connection import ConnectionLost, Endpoint
from gateway.directory.filters import compile_filter
from gateway.directory.hosts import connect
from gateway.directory.messages import Entry, SearchRequest
from gateway.directory.proof import PROOF_ATTRIBUTES, is_named, may_bind_as
from gateway.directory.realm import Outcome
from tests.directories.directory_logins import configured, logins
from tests.directory.small_directory import Answer, Search, SmallDirectory

DC = "DC=ad,DC=example,DC=org"
PIM = f"CN=Pim,OU=People,{DC}"
SID, OTHER_SID, GROUP_SID = b"\1\5pim", b"\1\5other", b"\1\5group"
SECONDS = 10.0

# what it is, attributes of the entry, name that was bound, whether it is named so, whether it may bind as that
NAMES: list[tuple[str, Mapping[str, list[bytes]], str, bool, bool]] = [
    ("the principal name", {"userprincipalname": [b"Pim@example.org"]}, "pim@EXAMPLE.org", True, True),
    ("another's", {"userprincipalname": [b"pimmy@example.org"], "samaccountname": [b"pim"]}, "pim@example.org", False, False),
    ("only ASCII is folded", {"userprincipalname": ["Ä@x.org".encode()]}, "ä@x.org", False, False),
    ("of several nobody knows", {"userprincipalname": [b"pim@x.org", b"a@x.org"]}, "pim@x.org", False, False),
    ("an implicit one is no proof", {"samaccountname": [b"pim"]}, "pim@ad.example.org", False, True),
    ("implicit, NetBIOS", {"samaccountname": [b"pim"]}, "PIM@EXAMPLE", False, True),
    ("implicit, of elsewhere", {"samaccountname": [b"pim"]}, "pim@example.org", False, False),
    ("the account's name", {"samaccountname": [b"Pim"]}, "EXAMPLE\\pim", True, True),
    ("another account's", {"samaccountname": [b"pim"]}, "EXAMPLE\\pim2", False, False),
    ("with its domain", {"samaccountname": [b"pim"], "msds-principalname": [b"EXAMPLE\\pim"]}, "example\\PIM", True, True),
    ("of another domain", {"samaccountname": [b"pim"], "msds-principalname": [b"OTHER\\pim"]}, "EXAMPLE\\pim", False, False),
    ("without a domain", {"samaccountname": [b"pim"]}, "\\pim", False, False),
    ("no account", {"samaccountname": [b""]}, "EXAMPLE\\", False, False),
    ("a bare name", {"samaccountname": [b"pim"]}, "pim", False, False),
    ("nothing", {}, "EXAMPLE\\pim", False, False),
    ("a DN", {}, f"cn=pim , ou=people,{DC}", False, True),
    ("another DN", {}, f"CN=Pim2,OU=People,{DC}", False, False),
]


@pytest.mark.parametrize(("attributes", "name", "named", "may"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_names(attributes: Mapping[str, list[bytes]], name: str, named: bool, may: bool) -> None:
    entry = Entry(PIM, attributes)
    assert (is_named(entry, name), may_bind_as(entry, name)) == (named, may)


UPN = {"upn_domain": "example.org", "samaccountname_login": True}
MINE, OTHERS = {"userPrincipalName": [b"pim@example.org"]}, {"userPrincipalName": [b"pimmy@example.org"]}
ACCOUNT = {"sAMAccountName": [b"pim"], "objectSid": [SID]}
PRINCIPAL = {"msDS-PrincipalName": [b"EXAMPLE\\pim"]}
SINGLE = {"bind_dn": "%s@example.org", "search_filter": "(sAMAccountName=%s)"}

# what it is, settings, attributes besides ACCOUNT, answer to "Who am I?", SIDs of the connection, whether let in, questions
PROOFS: list[tuple[str, dict[str, Any], dict[str, list[bytes]], str | None, list[bytes], bool, int]] = [
    ("own principal name", UPN, MINE, None, [], True, 0),
    ("another's, nobody says who", UPN, OTHERS, None, [], False, 1),
    ("u:, the account", UPN, OTHERS, "u:EXAMPLE\\PIM", [], True, 1),
    ("u:, another account", UPN, OTHERS, "u:EXAMPLE\\contractor", [], False, 1),
    ("u:, the account of another domain", UPN, OTHERS | PRINCIPAL, "u:OTHER\\pim", [], False, 1),
    ("u:, the account of this domain", UPN, OTHERS | PRINCIPAL, "u:EXAMPLE\\pim", [], True, 1),
    ("u:, the principal name", UPN, OTHERS, "u:pimmy@example.org", [], True, 1),
    ("u:, what was bound says nothing new", UPN, OTHERS, "u:pim@example.org", [], False, 1),
    ("dn:, spelled otherwise", UPN, OTHERS, f"dn:cn=\\70im,ou=people, {DC}", [], True, 1),
    ("dn:, another", UPN, OTHERS, f"dn:CN=Con,OU=People,{DC}", [], False, 1),
    ("another kind", UPN, OTHERS, "x:EXAMPLE\\pim", [], False, 1),
    ("nobody", UPN, OTHERS, "", [], False, 1),
    ("what it says counts, not the SIDs", UPN, OTHERS, "u:EXAMPLE\\contractor", [SID], False, 1),
    ("the SID", UPN, OTHERS, None, [SID, GROUP_SID], True, 1),
    ("another SID", UPN, OTHERS, None, [OTHER_SID, SID], False, 1),
    ("single, implicit name", SINGLE, {}, None, [SID, GROUP_SID], True, 1),
    ("single, own principal name", SINGLE, MINE, None, [], True, 0),
    ("single, another's", SINGLE, OTHERS, "u:EXAMPLE\\contractor", [], False, 1),
    ("single, DOMAIN\\", SINGLE | {"bind_dn": "EXAMPLE\\%s"}, OTHERS, None, [], True, 0),
    ("single, DOMAIN\\ of another domain", SINGLE | {"bind_dn": "EXAMPLE\\%s"}, {"msDS-PrincipalName": [b"OTHER\\pim"]}, None, [], False, 1),
    ("single, nothing but the place", SINGLE | {"bind_dn": "%s"}, OTHERS, "u:EXAMPLE\\contractor", [], False, 1),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "attributes", "who", "sids", "let_in", "asked"), [row[1:] for row in PROOFS], ids=[row[0] for row in PROOFS])
async def test_proofs(
    settings: dict[str, Any], attributes: dict[str, list[bytes]], who: str | None, sids: list[bytes], let_in: bool, asked: int
) -> None:
    def answer(search: Search) -> Answer:
        if search.base == "":
            return Answer([("", {"tokenGroups": sids})] if sids and search.attributes == ("tokenGroups",) else [])
        assert set(PROOF_ATTRIBUTES) <= set(search.attributes)
        return Answer([(PIM, ACCOUNT | attributes)])

    directory = await SmallDirectory.start(answer)
    directory.who = who
    try:
        server = configured(urls=[f"ldap://127.0.0.1:{directory.port}"], preset="active_directory", search_base_dns=[DC], primary_group=False, **settings)
        async with logins(server) as server_logins:
            verdict = await server_logins.verdict("pim", "x")
            assert verdict.outcome is (Outcome.OK if let_in else Outcome.INVALID), verdict
            assert directory.asked_who == asked
            assert server_logins.searches == 1 + (asked and who is None)
            if not let_in:
                assert "search_filter finds CN=Pim" in verdict.reason and "service account" in verdict.reason
    finally:
        await directory.close()


async def test_a_directory_that_is_busy_is_no_wrong_password() -> None:
    directory = await SmallDirectory.start(lambda search: Answer([(PIM, ACCOUNT | OTHERS)]))
    directory.who_code = 51
    try:
        settings: dict[str, Any] = {"preset": "active_directory", "search_base_dns": [DC], **UPN}
        async with logins(configured(urls=[f"ldap://127.0.0.1:{directory.port}"], **settings)) as server_logins:
            verdict = await server_logins.verdict("pim", "x")
            assert (verdict.outcome, verdict.reason) == (Outcome.UNREACHABLE, "who am i: 51 busy")
    finally:
        await directory.close()


@pytest.mark.parametrize("bind_dn", ["%s@example.org", "%s"])
async def test_the_first_of_several_is_nobody(bind_dn: str) -> None:
    """grafana.md 2.2: with ``multiple_entries = "first"`` Grafana takes it; whoever bound need not be that one."""
    people = [(f"CN=Con,{DC}", ACCOUNT | OTHERS), (PIM, ACCOUNT | MINE)]
    directory = await SmallDirectory.start(lambda search: Answer(people))
    try:
        server = configured(urls=[f"ldap://127.0.0.1:{directory.port}"], preset="active_directory", search_base_dns=[DC], bind_dn=bind_dn, multiple_entries="first")
        async with logins(server) as server_logins:
            verdict = await server_logins.verdict("pim", "x")
            assert (verdict.outcome, "2 entries" in verdict.reason) == (Outcome.INVALID, True)
    finally:
        await directory.close()


async def test_the_question_is_one_of_many() -> None:
    """It shares the connection with searches, and what follows it is read as before."""
    directory = await SmallDirectory.start(lambda search: Answer([(PIM, {})]))
    directory.who = "u:EXAMPLE\\pim"
    connection = await connect(Endpoint("127.0.0.1", directory.port), None, timeout=SECONDS)
    try:
        search = SearchRequest(DC, compile_filter("(objectClass=*)"))
        for _ in range(3):
            result = await connection.who_am_i(SECONDS)
            assert (result.code, result.value) == (0, b"u:EXAMPLE\\pim")
            entries, _ = await connection.search(search, "", SECONDS)
            assert [entry.dn for entry in entries] == [PIM]
        directory.who = None
        assert ((await connection.who_am_i(SECONDS)).code, connection.usable) == (2, True)
    finally:
        await connection.close()
        await directory.close()


async def test_a_text_that_repeats_the_password() -> None:
    """It goes to logs, audit events and ``explain``; another text goes there as it is."""
    directory = await SmallDirectory.start(lambda search: Answer())
    directory.refused = {"cn=svc"}
    connection = await connect(Endpoint("127.0.0.1", directory.port), None, timeout=SECONDS)
    try:
        for told, password in (("no: Hunter-2!", "hunter-2!"), ("no: a b", "a\x07b"), ("x" * 990 + "hunter-2!", "hunter-2!")):
            directory.told = told
            result = await connection.bind("cn=svc", password, SECONDS)
            assert (result.code, result.message) == (49, "a text that repeats the password, not shown")
        directory.told = "data 52e"
        assert (await connection.bind("cn=svc", "hunter-2!", SECONDS)).message == "data 52e"
    finally:
        await connection.close()
        await directory.close()


async def test_a_question_without_an_answer_ends_the_connection() -> None:
    directory = await SmallDirectory.start(lambda search: None)
    connection = await connect(Endpoint("127.0.0.1", directory.port), None, timeout=SECONDS)
    try:
        await directory.close()
        with pytest.raises(ConnectionLost):
            await connection.who_am_i(SECONDS)
    finally:
        await connection.close()
