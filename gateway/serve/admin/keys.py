"""``/admin/keys``: the key set of the tokens for Grafana, and beginning with a new key (grafana.md 5).

===========================  =======================================================================================
``GET /admin/keys``          the keys, oldest first, none of them secret. ``state`` is ``waiting`` (published, does not
                             sign yet), ``signs``, ``leaving`` (published for what it has signed) or ``gone``
``POST /admin/keys/rotate``  ``{"purpose": "jwks", "now": false, "force": false}``: publish a new key, which signs when
                             ``grafana.jwt.key_overlap`` is over; ``now``: at once, and nothing that the old ones have
                             signed counts any more. 409 where one is waiting, unless forced
===========================  =======================================================================================
"""

from __future__ import annotations

import time
from typing import Any

from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.telemetry.logs import utc
from gateway.tokens.key_set import Key, KeySet, RotationPending
from gateway.tokens.keys import JWKS


async def listing(call: Call) -> Answer:
    """The keys of the set."""
    keys, now = call.live.grafana.keys, int(time.time())
    await keys.follow()
    return 200, {"keys": [_view(keys, key, now) for key in keys.all]}


async def rotate(call: Call) -> Answer:
    """Begin with a new key."""
    purpose = call.fields.get("purpose", JWKS)
    if purpose != JWKS:
        raise Refusal(400, "purpose: expected jwks; keys of other purposes are not replaced while the daemon runs, as "
                      "it would end what they have signed")  # fmt: skip
    at_once, force = (call.fields.get(name, False) for name in ("now", "force"))
    if not isinstance(at_once, bool) or not isinstance(force, bool):
        raise Refusal(400, "now and force: expected true or false")
    keys, now = call.live.grafana.keys, int(time.time())
    try:
        added = await keys.rotate(now, at_once=at_once, force=force)
    except RotationPending as error:
        raise Refusal(409, f"{error}; force to make another one") from None
    audit(call.live, call.caller, "keys.rotate", "success", target=JWKS, reason="at once" if at_once else "")
    return 200, {"key": _view(keys, added, now)}


def _view(keys: KeySet, key: Key, now: int) -> dict[str, Any]:
    return {
        "id": key.signer.key_id,
        "purpose": key.row.purpose,
        "algorithm": key.row.algorithm,
        "state": keys.state(key, now),
        "signs_from": utc(key.row.not_before) if key.row.not_before else "",
        "published_until": utc(key.row.retired_at) if key.row.retired_at else "",
    }
