"""The four questions of Grafana's LDAP diagnostics (grafana.md 3).

However many administrators ask, ``LOOK_UPS`` people are looked up at once, and tests of servers are shared
(``directory/reachable.py``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.directory.realm import Outcome
from gateway.directory.recheck import Standing
from gateway.identity import LOCAL
from gateway.login import MAX_SHOWN
from gateway.serve.admin.callers import Caller, Refusal, audit
from gateway.serve.admin.people import known_person, label_of
from gateway.serve.grafana.views import person_view, server_view
from gateway.slots import Full, Slots

if TYPE_CHECKING:
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.realm import Verdict
    from gateway.reload import Reloader
    from gateway.runtime import Live
    from gateway.store.interface import IdentityRow

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Answer = tuple[int, Any]
"""Status and what becomes JSON."""

LOOK_UPS: Final = 4
MOST_WAITING: Final = 32
"""Look-ups that may wait."""

UNKNOWN_PERSON: Final = "No user was found in the LDAP server(s) with that username"
_FAILURES: Final = (Outcome.UNREACHABLE, Outcome.ERROR)


class Diagnostics:
    """Answers administrators."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._slots = Slots(LOOK_UPS, MOST_WAITING)

    async def status(self, live: Live, caller: Caller) -> Answer:
        """Whether the servers can be connected to: one entry for each, in order."""
        audit(live, caller, "directory.status", "success")
        servers = live.configuration.servers
        problems = await asyncio.gather(*map(live.reachability.unreachable_because, servers))
        return 200, list(map(server_view, servers, problems))

    async def person(self, live: Live, caller: Caller, login: str) -> Answer:
        """What the servers of the realm know of a login, without its password. Raises Refusal 400, 404, 429, 503."""
        if not any(_looks_up(server) for server in live.servers):
            raise Refusal(400, "The servers bind as the person, and look nobody up without a password")
        verdict = await self._in_turn(lambda: _look_up(live, login))
        if verdict is None or verdict.found is None or verdict.account is None:
            reason = verdict.reason if verdict else "unknown name"
            audit(live, caller, "directory.look_up", "failure", target=login[:MAX_SHOWN], reason=reason)
            if verdict is None:
                raise Refusal(404, UNKNOWN_PERSON)
            raise Refusal(503, f"The server {verdict.server} could not be asked: {reason}")
        server = next(one for one in live.configuration.servers if one.name == verdict.server)
        audit(live, caller, "directory.look_up", "success", target=f"{server.name}/{verdict.account.username}")
        disabled, told = verdict.outcome is not Outcome.OK, not live.configuration.grafana.skip_org_role_sync
        return 200, person_view(server, verdict.found, verdict.account, disabled=disabled, told=told)

    async def _in_turn(self, work: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with self._slots:
                return await work()
        except Full:
            raise Refusal(429, "Too many look-ups at once", {"Retry-After": "1"}) from None

    async def reload(self, live: Live, caller: Caller) -> Answer:
        """Reload all of the configuration; whatever is wrong with it, the one in force stays. Raises Refusal 500."""
        audit(live, caller, "configuration.reload", "success")
        attempt = await self._reloader.reload()
        if attempt.outcome in ("failed", "held"):
            errors = [str(problem) for problem in attempt.problems if problem.severity == "error"]
            reasons = "; ".join(filter(None, [attempt.reason, *errors[:1]])) or "see the log"
            raise Refusal(500, f"Failed to reload LDAP config: {reasons}")
        return 200, {"message": "LDAP config reloaded"}

    async def sync(self, live: Live, caller: Caller, who: str) -> Answer:
        """Look somebody up again who has logged in, however young the last answer is. Raises Refusal and StoreError."""
        rows = [row for row in await _known(live, who) if row.server != LOCAL]
        if not rows:
            raise Refusal(404, "user not found")
        # Of several of one name the others have left.
        row = max(rows, key=lambda row: (row.gone_at is None, row.checked_at))
        now = int(time.time())
        standing = await self._in_turn(lambda: live.recheck.standing(row.id, now, at_once=True))
        if standing is Standing.GOOD and await live.identities.by_id(row.id) is None:
            standing = Standing.GONE
        outcome = "success" if standing is Standing.GOOD else "failure"
        audit(live, caller, "directory.sync", outcome, target=label_of(row), reason=_REASONS.get(standing, ("", ""))[1])
        if standing is Standing.GOOD:
            return 200, {"message": "User synced successfully"}
        status, text = _REASONS[standing]
        raise Refusal(status, text)


_REASONS: Final[Mapping[Standing, tuple[int, str]]] = {
    Standing.GONE: (400, "User not found in LDAP, or not let in any more. What was issued to them counts no longer"),
    Standing.UNASKED: (400, "The server of this user looks people up only with their password (recheck = none)"),
    Standing.UNKNOWN: (503, "The server of this user could not be asked; see the log"),
}  # fmt: skip


async def _known(live: Live, who: str) -> list[IdentityRow]:
    try:
        return await known_person(live.store, who)
    except Refusal as refusal:
        raise Refusal(refusal.status, "user not found" if refusal.status == 404 else refusal.text) from None


def _looks_up(server: DirectoryServer) -> bool:
    return server.in_realm and server.searches_first


async def _look_up(live: Live, login: str) -> Verdict | None:
    """The servers of the realm in order, as a login asks them: who knows the login, else who could not be asked.

    None where nobody knows it. That is also said of what a login never asks a directory: names of local users and keys.
    """
    if live.local.knows(login) or live.login.is_key(login):
        return None
    failed = None
    for server in live.servers:
        if not _looks_up(server):
            continue
        verdict = await server.look_up(login)
        if verdict.found is not None:
            return verdict
        if verdict.outcome in _FAILURES:
            log.error("server %s: a look-up for an administrator failed: %s", server.name, verdict.reason)
            failed = failed or verdict
            if verdict.outcome is Outcome.ERROR:
                break
    return failed
