"""The realm: the ordered list a login is tried against, and what its verdicts add up to (DECISIONS 2)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gateway.identity import LOCAL, Account

if TYPE_CHECKING:
    from gateway.directory.messages import Entry


class Outcome(enum.Enum):
    """What one member of the realm says to a name and a password."""

    OK = "ok"
    INVALID = "invalid"
    LOCKED = "locked"
    UNGRANTED = "ungranted"
    """The dialect does not let them in, whatever the password."""
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
    found: Entry | None = None
    """The entry itself, of a look-up without password."""


Rule = Callable[[Account], str]
"""Why a dialect does not let somebody in, for the operator; empty where it does."""
Privilege = Mapping[str, Rule | None]
"""Who may log in at all, decided before the password is looked at (conjur.md 3): by server, LOCAL among them. None lets
in everybody of that server; people of servers that are not in it are not looked for."""


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

    async def authenticate(self, username: str, password: str, gate: Gate, rule: Rule | None = None) -> Verdict:
        """Check one name and password of whom the rule lets in; never raises for what a directory can do."""


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

    def __init__(
        self, local: LocalMember, servers: Iterable[ServerMember], unmapped: Callable[[Account], str] = lambda _: ""
    ) -> None:
        """``unmapped`` tells why a server does not let in somebody whose password is right; the next one is asked, as
        after a wrong password."""
        self._local = local
        self._unmapped = unmapped
        self._by_name = {server.name: server for server in servers}
        self._servers: Sequence[Member] = tuple(server for server in self._by_name.values() if server.in_realm)

    def members(self, username: str, server: str = "", privilege: Privilege | None = None) -> Sequence[Member]:
        """Who is asked for this name: one ``server`` or LOCAL, else the local users or the servers of the realm.

        Raises ``KeyError`` for a server that is not configured.
        """
        if server:
            return (self._local,) if server == LOCAL else (self._by_name[server],)
        servers = self._servers
        if privilege is not None:
            servers = tuple(member for member in servers if member.name in privilege)
        return (self._local,) if self._local.knows(username) or not servers else servers

    def asks_no_server(self, username: str, server: str = "", privilege: Privilege | None = None) -> bool:
        """Say whether the local users decide. Raises as ``members``."""
        return self.members(username, server, privilege) == (self._local,)

    async def authenticate(
        self, username: str, password: str, gate: Gate, server: str = "", privilege: Privilege | None = None
    ) -> list[Verdict]:
        """Ask the members in turn until one accepts or fails in an unknown way. Raises as ``members``."""
        verdicts = []
        for member in self.members(username, server, privilege):
            if await gate.admits_name(member.name):
                rule = privilege.get(member.name) if privilege else None
                verdict = await member.authenticate(username, password, gate, rule)
            else:
                verdict = Verdict(member.name, Outcome.LOCKED, "the name is locked after too many failures")
            verdicts.append(self.mapped(verdict))
            if verdicts[-1].outcome in (Outcome.OK, Outcome.ERROR):
                break
        return verdicts

    def mapped(self, verdict: Verdict) -> Verdict:
        """The verdict, invalid where the server requires a group mapping and the account has none."""
        if verdict.outcome is Outcome.OK and verdict.account and (reason := self._unmapped(verdict.account)):
            return replace(verdict, outcome=Outcome.INVALID, reason=reason)
        return verdict


def conclude(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that stands for all.

    The last one where it ended the round (ok, error); else a wrong password anywhere is a wrong password, then an
    unreachable server is that, then who is not let in is not, and only what nobody knows is not found. Grafana lets a
    dead last server hide a wrong password; its 503 would make SDKs repeat the password into the directory's own lock.
    """
    if verdicts[-1].outcome in (Outcome.OK, Outcome.ERROR):
        return verdicts[-1]
    order = (Outcome.LOCKED, Outcome.INVALID, Outcome.UNREACHABLE, Outcome.UNGRANTED, Outcome.NOT_FOUND)
    return min(verdicts, key=lambda verdict: order.index(verdict.outcome))
