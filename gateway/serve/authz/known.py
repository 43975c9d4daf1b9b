"""The fast path: questions that can be answered before aiohttp's parser sees them (perf.md C).

A request of the plainest shape, by nobody or by a known holder, is decided without a task. An answer that lets it pass
is kept under the hash of the request as it came over the wire, and of its peer: as long as the snapshot is the same and
the holder lives, the same octets have the same answer.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.serve.authz.plain_request import read_plain
from gateway.serve.authz.question import endpoint_of
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.runtime import Runtime
    from gateway.serve.authz.dialect import Authz, KnownAnswer

log = logging.getLogger(__name__)

MOST: Final = 10_000
"""Answers that are kept."""
LONGEST: Final = 8 * 1024
"""Octets of a request; the least that ``http.max_header`` may be."""
_MARK: Final = b" /api/authz/"
_MARK_BEFORE: Final = 20
"""Where the path begins at the latest, for the methods of the plainest shape."""


class KnownAnswers:
    """What is known of questions under the snapshot in force."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._authz: Authz | None = None
        self._on = False
        self._answers: OrderedDict[bytes, KnownAnswer] = OrderedDict()

    def follow(self, authz: Authz) -> None:
        """Begin anew under another snapshot."""
        self._answers.clear()
        self._authz = authz
        self._on = authz.live.configuration.session.fast_path

    def find(self, data: bytes, peer: str) -> bytes | None:
        """The whole answer to a whole request, if it can be given at once."""
        authz = self._authz
        if not self._on or len(data) > LONGEST or data.find(_MARK, 0, _MARK_BEFORE) < 0:
            return None
        if authz is None or authz.live is not self._runtime.current:
            return None
        key = hashlib.sha256(data).digest() + peer.encode()
        now = int(time.time())
        try:
            return self._remembered(authz, key, now) or self._made(authz, key, data, peer, now)
        except StoreError:
            return None
        except Exception:
            log.exception("session.fast_path is off until the next reload: a question failed in an unforeseen way")
            self._on = False
            return None

    def _remembered(self, authz: Authz, key: bytes, now: int) -> bytes | None:
        known = self._answers.get(key)
        if known is None:
            return None
        if known.holder is not None:
            if not authz.holders.lives(known.holder, now):
                return None
            authz.holders.touch(known.holder, now, known.address)
        self._answers.move_to_end(key)
        return known.reply.sent(now)

    def _made(self, authz: Authz, key: bytes, data: bytes, peer: str, now: int) -> bytes | None:
        """An answer for which nothing need be waited for; kept if it lets the request pass."""
        plain = read_plain(data)
        endpoint = endpoint_of(plain[1].partition("?")[0]) if plain else None
        if plain is None or endpoint is None:
            return None
        method, target, headers = plain
        answer = authz.answer_at_once(endpoint, method, target, headers, peer, now)
        if answer is None:
            return None
        if answer.reply.status == 200:
            self._keep(key, answer)
        return answer.reply.sent(now, with_body=method != "HEAD")

    def _keep(self, key: bytes, known: KnownAnswer) -> None:
        self._answers[key] = known
        self._answers.move_to_end(key)
        if len(self._answers) > MOST:
            self._answers.popitem(last=False)
