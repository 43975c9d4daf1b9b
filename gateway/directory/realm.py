"""The realm: the ordered list a login is tried against, and what its verdicts add up to (DECISIONS 2)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.identity import LOCAL, Account


class Outcome(enum.Enum):
    """What one member of the realm says to a name and a password."""

    OK = "ok"
    INVALID = "invalid"
    LOCKED = "locked"
    NOT_FOUND = "not found"
    UNREACHABLE = "unreachable"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one member."""

    server: str
    outcome: Outcome
    reason: str = ""
    """For the operator: what to look at. Never sent to the caller."""
    account: Account | None = None
    entry: str = ""
    """Key of the entry that was found, whatever the password; empty where none was."""


class Gate(Protocol):
    """The lockout, asked before any traffic and again between search and bind."""

    async def admits_name(self, server: str) -> bool:
        """Say whether the typed name may be tried on this server."""

    async def admits_entry(self, server: str, entry: str) -> bool:
        """Say whether a bind as this entry may be tried."""


class Member(Protocol):
    """The local users, or one server."""

    @property
    def name(self) -> str:
        """The server's name."""

    async def authenticate(self, username: str, password: str, gate: Gate) -> Verdict:
        """Check one name and password; never raises for what a directory can do."""


class ServerMember(Member, Protocol):
    """A configured server."""

    @property
    def in_realm(self) -> bool:
        """Whether a login that names no server is tried here."""


class LocalMember(Member, Protocol):
    """The local users: a name they know is decided by them."""

    def knows(self, username: str) -> bool:
        """Say whether the name is a local user's."""


class Realm:
    """Local users first, and a name found there never reaches a directory; then the servers in order.

    A dialect that names a server asks that one alone, in the realm or not (DECISIONS 3).
    """

    def __init__(self, local: LocalMember, servers: Iterable[ServerMember]) -> None:
        self._local = local
        self._by_name = {server.name: server for server in servers}
        self._servers: Sequence[Member] = tuple(server for server in self._by_name.values() if server.in_realm)

    def members(self, username: str, server: str = "") -> Sequence[Member]:
        """Who is asked for this name: one ``server`` or LOCAL, else the local users or the servers of the realm.

        Raises ``KeyError`` for a server that is not configured.
        """
        if server:
            return (self._local,) if server == LOCAL else (self._by_name[server],)
        return (self._local,) if self._local.knows(username) or not self._servers else self._servers

    def asks_no_server(self, username: str, server: str = "") -> bool:
        """Say whether the local users decide. Raises as ``members``."""
        return self.members(username, server) == (self._local,)

    async def authenticate(self, username: str, password: str, gate: Gate, server: str = "") -> list[Verdict]:
        """Ask the members in turn until one accepts or fails in an unknown way. Raises as ``members``."""
        verdicts = []
        for member in self.members(username, server):
            if await gate.admits_name(member.name):
                verdict = await member.authenticate(username, password, gate)
            else:
                verdict = Verdict(member.name, Outcome.LOCKED, "the name is locked after too many failures")
            verdicts.append(verdict)
            if verdict.outcome in (Outcome.OK, Outcome.ERROR):
                break
        return verdicts


def conclude(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that stands for all.

    The last one where it ended the round (ok, error); else a wrong password anywhere is a wrong password, then an
    unreachable server is that, and only what nobody knows is not found. Grafana lets a dead last server hide a wrong
    password; its 503 would make SDKs repeat the password into the directory's own lock.
    """
    if verdicts[-1].outcome in (Outcome.OK, Outcome.ERROR):
        return verdicts[-1]
    order = (Outcome.LOCKED, Outcome.INVALID, Outcome.UNREACHABLE, Outcome.NOT_FOUND)
    return min(verdicts, key=lambda verdict: order.index(verdict.outcome))
