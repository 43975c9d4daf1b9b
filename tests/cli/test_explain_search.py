"""``explain search``: any filter of the configuration, bounded, and no secret of the directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from gateway.directory.traced import Operation
from gateway.explain import WrongArguments
from gateway.explain.login import LoginExplanation, ServerAnswer
from gateway.explain.rules import Rule
from gateway.explain.search import ASKED_FOR, SHOWN, Question, SearchExplanation, ShownEntry, explain_search
from gateway.explain.text import search_text
from gateway.explain.values import HIDDEN, MAX_VALUES, is_secret, shown_values
from gateway.identity import Account, Grant, Group
from tests.cli.test_explain_login import GRACE, GROUPS, PASSWORD, PEOPLE, SINGLE, configured, explain, sent_operations
from tests.directories.relay import Relay
from tests.directories.slapd import ADMIN_DN, ADMIN_PASSWORD, BASE_DN, COMPANY, SERVICE_DN, Slapd
from tests.directory.small_directory import Answer, Search, SmallDirectory

BIG = "".join(
    f"\ndn: cn=n{number},ou=people,{BASE_DN}\nobjectClass: organizationalRole\ncn: n{number}\n" for number in range(ASKED_FOR + 5)
)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, BIG, directory=tmp_path_factory.mktemp("slapd") / "big") as started:
        yield started


def names(explanation: SearchExplanation) -> list[str]:
    return [entry.dn for entry in explanation.entries]


# what it proves, settings, question, filter and bases as sent, entries
ROWS = [
    ("the server's own filter and bases", {}, Question("corp", user="grace"), "(uid=grace)", [PEOPLE], 1),
    ("escaped", {}, Question("corp", user="o*(brien)"), "(uid=o\\2a\\28brien\\29)", [PEOPLE], 1),
    ("another filter", {}, Question("corp", "(cn=Grace*)"), None, [PEOPLE], 1),
    ("vault.md 3, Go's names", {"user_attr": "uid"}, Question("corp", "({{.UserAttr}}={{.Username}})", user="alan"), "(uid=alan)", [PEOPLE], 1),
    ("vault.md 4.2, with a domain", {"upn_domain": "x.org"}, Question("corp", "(|(uid=%s)(mail={{.Username}}))", user="alan"),
     "(|(uid=alan)(mail=alan@x.org))", [PEOPLE], 1),
    ("several bases", {}, Question("corp", "(uid=sam)", [PEOPLE, f"ou=contractors,{BASE_DN}"]), "(uid=sam)", [PEOPLE, f"ou=contractors,{BASE_DN}"], 2),
    ("(&) is always true", {}, Question("corp", "(&)", [GROUPS]), None, [GROUPS], 8),
    ("single bind, as the user", SINGLE, Question("corp", user="grace", password=PASSWORD), "(uid=grace)", [PEOPLE], 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "question", "sent_filter", "bases", "count"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
async def test_what_is_sent(
    slapd: Slapd, tmp_path: Path, changes: dict[str, object], question: Question, sent_filter: str | None,
    bases: list[str], count: int,
) -> None:  # fmt: skip
    """DECISIONS 37."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        server = slapd.server(**{"urls": [f"ldap://127.0.0.1:{relay.port}"], **changes})
        explanation = await explain_search(configured(tmp_path, server), question)
    finally:
        await relay.close()
    assert (explanation.count, explanation.error) == (count, "")
    if sent_filter is not None:
        searches = [one for one in sent_operations(bytes(relay.sent))[1:] if one[0] == "search"]
        assert searches == [("search", base, "subtree", sent_filter) for base in bases]
        assert explanation.filter == sent_filter
    assert [one.dn for one in explanation.operations if one.kind == "search"] == bases


async def test_it_is_bounded(slapd: Slapd, tmp_path: Path) -> None:
    """Issue text: count and first 20 entries; no more are asked for than are counted."""
    server = slapd.server(bind_dn=ADMIN_DN, bind_password=ADMIN_PASSWORD)
    explanation = await explain_search(configured(tmp_path, server), Question("corp", "(objectClass=*)"))
    assert (explanation.count, explanation.cut_short, len(explanation.entries)) == (ASKED_FOR, True, SHOWN)
    lines = search_text(explanation)
    assert lines[0] == f"corp: more than {ASKED_FOR} entries"
    assert lines[-1] == f"the first {SHOWN} of more than {ASKED_FOR}"


async def test_which_attributes_are_shown(slapd: Slapd, tmp_path: Path) -> None:
    """With a filter of one's own all that there are; of those that were named, also which are not there."""
    snapshot = configured(tmp_path, slapd.server())
    everything = await explain_search(snapshot, Question("corp", "(cn=build)", [GROUPS]))
    assert {"cn", "gidnumber", "memberuid", "entryUUID"} <= set(everything.entries[0].attributes)
    assert everything.entries[0].absent == []
    named = await explain_search(snapshot, Question("corp", "(uid=grace)", attributes=("uid", "foo", "mail", "userPassword")))
    assert named.entries[0].absent == ["foo", "userPassword"]
    assert "  foo: (none, or not to be seen)" in search_text(named)


async def test_no_secret_of_the_directory(slapd: Slapd, tmp_path: Path) -> None:
    """With an account that may read passwords, and whatever spelling they are asked for in."""
    server = slapd.server(bind_dn=ADMIN_DN, bind_password=ADMIN_PASSWORD)
    question = Question("corp", "(uid=grace)", attributes=("uid", "USERPASSWORD", "mail"))
    explanation = await explain_search(configured(tmp_path, server), question)
    (entry,) = explanation.entries
    assert entry.dn == GRACE
    assert entry.attributes == {"uid": ["grace"], "USERPASSWORD": [HIDDEN], "mail": ["grace@example.com"]}
    for attributes in (("2.5.4.35",), ("*", "+"), ("userPassword;x-secret", "userPassword")):
        question = Question("corp", "(uid=grace)", attributes=attributes)
        explanation = await explain_search(configured(tmp_path, server), question)
        printed = "\n".join(search_text(explanation)) + json.dumps(asdict(explanation))
        assert HIDDEN in printed and PASSWORD not in printed and ADMIN_PASSWORD not in printed


SECRETS = [
    "userPassword", "unicodePwd", "dBCSPwd", "ntPwdHistory", "lmPwdHistory", "supplementalCredentials", "krbPrincipalKey",
    "krbPrincipalKey;x", "sambaNTPassword", "sambaLMPassword", "ipaNTHash", "ms-Mcs-AdmPwd", "msLAPS-Password", "pwdHistory",
    "msLAPS-EncryptedPassword", "msDS-ManagedPassword", "msFVE-RecoveryPassword", "olcRootPW", "trustAuthOutgoing", "oathSecret",
]  # fmt: skip
SHOWN_STATES = [
    "pwdLastSet", "pwdChangedTime", "badPwdCount", "krbPasswordExpiration", "pwdAccountLockedTime", "passwordExpirationTime",
    "userAccountControl", "objectGUID", "memberOf", "uid", "krbPrincipalName", "msDS-UserPasswordExpiryTimeComputed",
]  # fmt: skip


def test_which_attributes_are_secret() -> None:
    assert all(map(is_secret, SECRETS)) and all(is_secret(name.upper()) for name in SECRETS)
    assert not any(map(is_secret, SHOWN_STATES))


VALUES = [
    ("text", [b"a", "ü".encode()], ["a", "ü"]),
    ("octets", [b"\xff\x00"], ["base64:/wA="]),
    ("controls in text", [b"a\x1b[31m"], ["base64:YRtbMzFt"]),
    ("lines of an address", [b"a\r\nb"], ["a\r\nb"]),
    ("empty", [b""], [""]),
    ("many", [b"x"] * (MAX_VALUES + 3), ["x"] * MAX_VALUES + ["... and 3 more"]),
    ("long", [b"x" * 5000], ["x" * 2000 + "..."]),
]


@pytest.mark.parametrize(("values", "shown"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_values(values: list[bytes], shown: list[str]) -> None:
    assert shown_values("description", values) == shown


WRONG = [
    ("no such server", Question("nix"), "there is no server nix; known: corp, single"),
    ("a filter that does not compile", Question("corp", "(uid=x"), "--filter: a closing parenthesis is missing at position 6"),
    ("an unknown variable", Question("corp", "(uid={{.UserDN}})", user="x"), "at position 5"),
    ("nobody to put into the filter", Question("corp"), "(uid=%s) has a place for a user name: say which with --user"),
    ("a name that is not UTF-8", Question("corp", user="\udcff"), "not valid UTF-8"),
    ("a filter that is not UTF-8", Question("corp", "(uid=\udcff)"), "not valid UTF-8"),
    ("a password that is not UTF-8", Question("single", user="ada", password="\udcff"), "not valid UTF-8"),
    ("no DN", Question("corp", "(uid=x)", ["nonsense"]), "--base: not a distinguished name"),
    ("nobody to search as", Question("single", user="ada"), "people search as themselves there; give --user, and --password"),
    ("an empty password", Question("single", user="ada", password=" "), "people search as themselves"),
    ("DECISIONS 14, an API key", Question("single", user="ada", password="a" * 52), "has the form of an API key"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "text"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_wrong_arguments(tmp_path: Path, question: Question, text: str) -> None:
    """Told before anything is connected: nobody listens there."""
    server = {"name": "corp", "urls": ["ldap://127.0.0.1:1"], "search_base_dns": [PEOPLE]}
    with pytest.raises(WrongArguments) as raised:
        more = {"conjur": {"account": "myorg"}}
        await explain_search(configured(tmp_path, server, {**server, "name": "single", **SINGLE}, **more), question)
    assert text in str(raised.value)


FAILURES: list[tuple[str, dict[str, object], Question, str]] = [
    ("RFC 4511 4.5.1, no such base", {}, Question("corp", "(uid=x)", [f"ou=nix,{BASE_DN}"]), "32 noSuchObject"),
    ("RFC 4511 4.5.1.1, the root, which slapd does not search", {}, Question("corp", "(uid=x)", [""]), "32 noSuchObject"),
    ("the user's password is wrong", SINGLE, Question("corp", user="grace", password="wrong"), f"bind as {GRACE} refused: 49"),
    ("the service's password is wrong", {"bind_password": "wrong"}, Question("corp", "(uid=x)"), SERVICE_DN),
    ("nobody listens", {"urls": ["ldap://127.0.0.1:1"]}, Question("corp", "(uid=x)"), "Connection refused"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "question", "text"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
async def test_failures(
    slapd: Slapd, tmp_path: Path, changes: dict[str, object], question: Question, text: str
) -> None:
    explanation = await explain_search(configured(tmp_path, slapd.server(**changes)), question)
    assert text in explanation.error
    assert search_text(explanation)[0] == f"corp: {explanation.error}"
    assert "32 " not in text or explanation.advice[0].startswith("check the base ")


async def test_nothing_found_is_an_answer_with_advice(slapd: Slapd, tmp_path: Path) -> None:
    explanation = await explain_search(configured(tmp_path, slapd.server()), Question("corp", user="nix"))
    assert (explanation.count, explanation.error) == (0, "") and "check base, filter and rights" in explanation.advice[0]


async def test_silence_and_hostile_answers(tmp_path: Path) -> None:
    """The one ends within login_timeout; of the other nothing reaches the terminal as it came."""
    evil = "\x1b]0;x\x07\n\x9b"
    answers = iter([Answer([(f"cn={evil}", {"cn": [evil.encode()], "jpegPhoto": [b"\xff" * 100_000]})]), None])

    def answer(search: Search) -> Answer | None:
        return next(answers)

    directory = await SmallDirectory.start(answer)
    server = {"name": "evil", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["dc=x"], "login_timeout": 0.3}
    try:
        hostile = await explain_search(configured(tmp_path, server), Question("evil", "(cn=*)"))
        mute = await explain_search(configured(tmp_path, server), Question("evil", "(cn=*)"))
    finally:
        await directory.close()
    lines = search_text(hostile)
    assert all(line.isprintable() and len(line) < 3000 for line in lines) and any("\\x1b]0;x" in line for line in lines)
    assert "login_timeout" in mute.error


@pytest.mark.parametrize("document", [LoginExplanation, ServerAnswer, Operation, Rule, SearchExplanation, ShownEntry, Account, Group, Grant])
def test_the_documents_are_documented(document: Any) -> None:
    text = Path(__file__).parents[2].joinpath("docs/explain.md").read_text()
    assert [field.name for field in fields(document) if f"`{field.name}`" not in text] == []


def test_the_command(slapd: Slapd, tmp_path: Path) -> None:
    configured(tmp_path, slapd.server())
    code, out, _ = explain(tmp_path, "search", "--server", "corp", "--user", "grace", "--attributes", "uid, mail", "--json")
    assert code == 0
    assert json.loads(out)["entries"] == [
        {"dn": GRACE, "attributes": {"uid": ["grace"], "mail": ["grace@example.com"]}, "absent": []}
    ]
    code, out, err = explain(tmp_path, "search", "--server", "corp", "--filter", "(uid=\x1b")
    assert (code, out) == (2, "") and "position 6" in err and "\x1b" not in err
