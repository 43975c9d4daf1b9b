"""DECISIONS 2: in which order the realm is asked, and what the verdicts add up to."""

from __future__ import annotations

import pytest

from gateway.directory.realm import Gate, Outcome, Privilege, Realm, Rule, Verdict, conclude

OK, INVALID, LOCKED = Outcome.OK, Outcome.INVALID, Outcome.LOCKED
NOT_FOUND, UNREACHABLE, ERROR, UNGRANTED = Outcome.NOT_FOUND, Outcome.UNREACHABLE, Outcome.ERROR, Outcome.UNGRANTED

# what each server says, how many are asked, what it adds up to
ROUNDS = [
    ([OK], 1, OK),
    ([INVALID], 1, INVALID),
    ([NOT_FOUND], 1, NOT_FOUND),
    ([UNREACHABLE], 1, UNREACHABLE),
    ([ERROR], 1, ERROR),
    ([OK, OK], 1, OK),
    ([INVALID, OK], 2, OK),
    ([NOT_FOUND, OK], 2, OK),
    ([UNREACHABLE, OK], 2, OK),
    ([ERROR, OK], 1, ERROR),
    ([INVALID, ERROR], 2, ERROR),
    ([INVALID, UNREACHABLE], 2, INVALID),
    ([UNREACHABLE, INVALID], 2, INVALID),
    ([NOT_FOUND, UNREACHABLE], 2, UNREACHABLE),
    ([UNREACHABLE, NOT_FOUND], 2, UNREACHABLE),
    ([NOT_FOUND, INVALID, NOT_FOUND], 3, INVALID),
    ([UNREACHABLE, UNREACHABLE], 2, UNREACHABLE),
    ([LOCKED, NOT_FOUND], 2, LOCKED),
    ([UNGRANTED, OK], 2, OK),
    ([UNGRANTED, INVALID], 2, INVALID),
    ([NOT_FOUND, UNGRANTED, NOT_FOUND], 3, UNGRANTED),
    ([UNGRANTED, UNREACHABLE], 2, UNREACHABLE),
]


class Says:
    """A member that gives one verdict: the realm's order is decided here, not by a directory."""

    def __init__(self, name: str, outcome: Outcome, *, in_realm: bool = True) -> None:
        self.name = name
        self.outcome = outcome
        self.in_realm = in_realm

    def knows(self, username: str) -> bool:
        return username == "local-user"

    async def authenticate(self, username: str, password: str, gate: Gate, rule: Rule | None = None) -> Verdict:
        return Verdict(self.name, self.outcome)


class Open:
    def __init__(self, *locked: str) -> None:
        self.locked = locked

    async def admits_name(self, server: str) -> bool:
        return server not in self.locked

    async def admits_entry(self, server: str, entry: str) -> bool:
        return True


@pytest.mark.parametrize(("outcomes", "asked", "expected"), ROUNDS)
async def test_round(outcomes: list[Outcome], asked: int, expected: Outcome) -> None:
    servers = [Says(f"server{place}", outcome) for place, outcome in enumerate(outcomes)]
    verdicts = await Realm(Says("local", OK), servers).authenticate("ada", "x", Open())
    assert [verdict.server for verdict in verdicts] == [server.name for server in servers[:asked]]
    assert conclude(verdicts).outcome is expected


async def test_a_local_name_never_reaches_a_server() -> None:
    realm = Realm(Says("local", INVALID), [Says("corp", OK)])
    verdicts = await realm.authenticate("local-user", "x", Open())
    assert [(verdict.server, verdict.outcome) for verdict in verdicts] == [("local", INVALID)]


# server that the login names, who is asked for a local user's name
NAMED = [("", ["local"]), ("corp", ["corp"]), ("mount", ["mount"])]


@pytest.mark.parametrize(("server", "asked"), NAMED)
async def test_a_named_server_is_asked_alone(server: str, asked: list[str]) -> None:
    """DECISIONS 3, also for one that is not in the realm, and for a name that a local user has."""
    realm = Realm(Says("local", OK), [Says("corp", INVALID), Says("mount", OK, in_realm=False)])
    verdicts = await realm.authenticate("local-user", "x", Open(), server)
    assert [verdict.server for verdict in verdicts] == asked
    assert realm.asks_no_server("local-user", server) is (asked == ["local"])
    verdicts = await realm.authenticate("ada", "x", Open(), server)
    assert [verdict.server for verdict in verdicts] == (asked if server else ["corp"])


async def test_a_name_locked_on_one_server_is_tried_on_the_next() -> None:
    realm = Realm(Says("local", OK), [Says("one", OK), Says("two", OK)])
    verdicts = await realm.authenticate("ada", "x", Open("one"))
    assert [verdict.outcome for verdict in verdicts] == [LOCKED, OK]


async def test_without_servers_an_unknown_name_is_asked_of_the_local_users() -> None:
    verdicts = await Realm(Says("local", NOT_FOUND), []).authenticate("ada", "x", Open())
    assert [verdict.server for verdict in verdicts] == ["local"]


# who is let in of which server; a name, who is asked
PRIVILEGES = [
    ({"local": None, "two": None}, "ada", ["two"]),
    ({"local": None}, "ada", ["local"]),
    ({"local": None, "one": None}, "local-user", ["local"]),
    ({"two": None, "mount": None}, "ada", ["two"]),
]


@pytest.mark.parametrize(("privilege", "name", "asked"), PRIVILEGES)
async def test_servers_without_privilege_are_not_asked(privilege: Privilege, name: str, asked: list[str]) -> None:
    """conjur.md 3: the authenticator of the person's server is enabled, or nobody looks for them there."""
    servers = [Says("one", NOT_FOUND), Says("two", NOT_FOUND), Says("mount", OK, in_realm=False)]
    verdicts = await Realm(Says("local", NOT_FOUND), servers).authenticate(name, "x", Open(), privilege=privilege)
    assert [verdict.server for verdict in verdicts] == asked
