"""``/admin/lockout``: which accounts and addresses are locked after failed logins, and letting them try again.

============================  ======================================================================================
``GET /admin/lockout``        the locks; ``?all=true``: every counter. ``kind`` is ``name`` (as it was typed), ``entry``
                              (of the directory) or ``address``. Where ``next`` is not empty, ``?after=`` it there may
                              be more
``POST /admin/lockout/clear`` ``{"user": "NAME or SERVER/NAME"}`` or ``{"address": "192.0.2.1"}``: forget what is
                              counted; answers the counters that went
============================  ======================================================================================
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from gateway.grants import lockout
from gateway.grants.lockout import Counter, Key
from gateway.identities import typed_name
from gateway.identity import LOCAL, fold_for_lockout, fold_name
from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.serve.admin.people import people_named, usable_name
from gateway.store.interface import PAGE
from gateway.telemetry.logs import utc

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.store.interface import Store

_PAGES: Final = 10
"""Of the store, looked through for one answer."""


async def listing(call: Call) -> Answer:
    """Locks, or all counters, that mean something now."""
    wanted = call.query.get("all", "")
    if wanted not in ("", "true", "false"):
        raise Refusal(400, "all: expected true or false")
    try:
        after = bytes.fromhex(call.query.get("after", ""))
    except ValueError:
        raise Refusal(400, "after: expected what next was") from None
    settings, now = call.live.configuration.lockout, int(time.time())
    found: list[dict[str, Any]] = []
    looked, last = 0, b""
    async for page in _pages(call.live.store, after):
        for counter in page:
            left = lockout.check({counter.hash: counter}, now, settings).retry_after
            if left or (wanted == "true" and counter.expires_at > now):
                found.append(_view(counter, left, now))
        looked, last = looked + 1, page[-1].hash if len(page) == PAGE else b""
        if looked == _PAGES:
            break
    return 200, {"counters": found, "next": last.hex()}


async def clear(call: Call) -> Answer:
    """Forget the failures of an account, under whatever name they were made, or of an address."""
    user, address = call.fields.get("user"), call.fields.get("address")
    if (user is None) == (address is None):
        raise Refusal(400, "expected either user or address")
    store = call.live.store
    keys = [_address_key(address)] if user is None else await _account_keys(call.live, usable_name(user))
    hashes = {key.hash for key in keys}
    # An entry's counter is known by an id that only a login finds, but it shows the name that was typed.
    shown = {fold_for_lockout(text) for text in (str(user), *(key.shown for key in keys))}
    cleared: list[str] = []
    async for page in _pages(store, b""):
        gone = [counter for counter in page if counter.hash in hashes or fold_for_lockout(counter.shown) in shown]
        if gone:
            await store.failures_clear([Key(counter.hash, counter.shown, counter.kind) for counter in gone])
            cleared += [counter.shown for counter in gone]
    told = sorted(set(cleared))
    if told:
        audit(call.live, call.caller, "lockout.clear", "success", target=", ".join(told))
    return 200, {"cleared": told}


async def _pages(store: Store, after: bytes) -> AsyncIterator[Sequence[Counter]]:
    """Pages of counters, none of them empty; others get their turn in between."""
    while page := await store.failures_list(after):
        yield page
        if len(page) < PAGE:
            return
        after = page[-1].hash
        await asyncio.sleep(0)


async def _account_keys(live: Live, user: str) -> list[Key]:
    """The counters of an account that can be told without asking its directory."""
    servers = (LOCAL, *(server.name for server in live.configuration.servers))
    keys = [lockout.name_key(server, user) for server in servers]
    named = [server for server in servers if fold_name(user).startswith(f"{fold_name(server)}/")]
    keys += [lockout.name_key(server, user[len(server) + 1 :]) for server in named]
    for row in await people_named(live.store, user):
        names = (row.username, typed_name(row), row.email)
        keys += [lockout.name_key(row.server, name) for name in names if name]
        keys.append(lockout.entry_key(row.server, row.external_id, row.username))
    return keys


def _address_key(given: object) -> Key:
    """IPv6 addresses are counted by their /64, and may be given as it is shown."""
    try:
        return lockout.address_key(ip_address(str(given).removesuffix("/64")))
    except ValueError:
        raise Refusal(400, "address: expected an IP address") from None


def _view(counter: Counter, seconds_left: int, now: int) -> dict[str, Any]:
    return {
        "of": counter.shown, "kind": str(counter.kind), "failures": counter.count, "last": utc(counter.last_at),
        "locked_until": utc(now + seconds_left) if seconds_left else "",
    }  # fmt: skip
