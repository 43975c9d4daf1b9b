"""``/admin/keys``: the keys that sign tokens for Grafana and of the Conjur dialect, and beginning with a new one
(grafana.md 5, conjur.md 6).

===========================  =======================================================================================
``GET /admin/keys``          the keys, oldest first, none of them secret. ``state`` is ``waiting`` (published, does not
                             sign yet), ``signs``, ``leaving`` (counts for what it has signed) or ``gone``
``POST /admin/keys/rotate``  ``{"purpose": "jwks", "now": false, "force": false}``: make a new key, which signs when
                             ``grafana.jwt.key_overlap`` is over, with ``conjur`` at once; ``now``: at once, and nothing
                             that the old ones have signed counts any more. 409 where one is waiting, unless forced,
                             and where the keys of ``conjur`` are none of the ring
===========================  =======================================================================================
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.telemetry.logs import utc
from gateway.tokens.key_pairs import Key, KeyPairs, RotationPending
from gateway.tokens.keys import JWKS

if TYPE_CHECKING:
    from gateway.runtime import Live

_CONJUR: Final = "conjur"
"""Means the keys of the account in force."""


async def listing(call: Call) -> Answer:
    """The keys of every purpose that is in use."""
    now, conjur = int(time.time()), call.live.conjur
    views = await _views(call.live.grafana.keys, now)
    if conjur is not None and conjur.ring is not None:
        views += await _views(conjur.ring, now)
    return 200, {"keys": views}


async def rotate(call: Call) -> Answer:
    """Begin with a new key."""
    at_once, force = (call.fields.get(name, False) for name in ("now", "force"))
    if not isinstance(at_once, bool) or not isinstance(force, bool):
        raise Refusal(400, "now and force: expected true or false")
    keys, now = _keys_of(call.fields.get("purpose", JWKS), call.live), int(time.time())
    try:
        added = await keys.rotate(now, at_once=at_once, force=force)
    except RotationPending as error:
        raise Refusal(409, f"{error}; force (--force) makes another one") from None
    audit(call.live, call.caller, "keys.rotate", "success", target=keys.purpose, reason="at once" if at_once else "")
    return 200, {"key": _view(keys, added, now)}


def _keys_of(purpose: object, live: Live) -> KeyPairs[Any]:
    if purpose == JWKS:
        return live.grafana.keys
    if purpose != _CONJUR:
        raise Refusal(400, "purpose: expected jwks or conjur; keys of other purposes are not replaced while the daemon "
                      "runs, as it would end what they have signed")  # fmt: skip
    if live.conjur is None:
        raise Refusal(409, "the Conjur API is off, as conjur.account is empty: it has no keys")
    if live.conjur.ring is None:
        raise Refusal(409, "conjur.signing_key signs the tokens: configure another one, which ends those before it")
    return live.conjur.ring


async def _views(keys: KeyPairs[Any], now: int) -> list[dict[str, Any]]:
    await keys.follow()
    return [_view(keys, key, now) for key in keys.all]


def _view(keys: KeyPairs[Any], key: Key[Any], now: int) -> dict[str, Any]:
    return {
        "id": key.signer.key_id,
        "purpose": keys.purpose,
        "algorithm": key.row.algorithm,
        "state": keys.state(key, now),
        "signs_from": utc(key.row.not_before) if key.row.not_before else "",
        "counts_until": utc(key.row.retired_at) if key.row.retired_at else "",
    }
