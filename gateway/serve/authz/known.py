"""The fast path: questions that can be answered before aiohttp's parser sees them (perf.md C).

A request of the plainest shape, by nobody or by a known holder, is decided without a task. An answer that lets it pass
is kept under the hash of the request as it came over the wire, and of its peer: as long as the snapshot is the same and
the holder lives, the same octets have the same answer. What such a request says besides its URL is kept too: clients
ask for many URLs, and the rest is mostly the same.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import MalformedAddress
from gateway.access.target import Malformed
from gateway.bounded import keep
from gateway.serve.authz.plain_request import cut_url, read_plain
from gateway.serve.authz.question import endpoint_of, urls_of
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.runtime import Runtime
    from gateway.serve.authz.dialect import Authz, KnownAnswer
    from gateway.serve.authz.holders import Holders
    from gateway.serve.authz.question import Asker

log = logging.getLogger(__name__)

MOST: Final = 10_000
"""Answers that are kept."""
MOST_ASKERS: Final = 2_000
"""Requests whose headers are kept, for other URLs."""
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
        self._askers: OrderedDict[bytes, Asker] = OrderedDict()

    def follow(self, authz: Authz) -> None:
        """Begin anew under another snapshot."""
        self._answers.clear()
        self._askers.clear()
        self._authz = authz
        self._on = authz.live.configuration.session.fast_path

    def find(self, data: bytes, peer: str) -> bytes | None:
        """The whole answer to a whole request, if it can be given at once."""
        authz = self._authz
        if not self._on or len(data) > LONGEST or data.find(_MARK, 0, _MARK_BEFORE) < 0:
            return None
        if authz is None or authz.live is not self._runtime.current:
            return None
        key = _key(data, peer)
        now = int(time.time())
        try:
            known = self._answers.get(key)
            if known is None or not _still(authz.holders, known, now):
                return self._made(authz, key, data, peer, now)
            self._answers.move_to_end(key)
            return known.reply.sent(now)
        except (StoreError, Malformed, MalformedAddress):
            return None
        except Exception:
            log.exception("session.fast_path is off until the next reload: a question failed in an unforeseen way")
            self._on = False
            return None

    def _made(self, authz: Authz, key: bytes, data: bytes, peer: str, now: int) -> bytes | None:
        """An answer for which nothing need be waited for; kept if it lets the request pass."""
        begin = data.find(_MARK) + len(_MARK)
        rest, url = cut_url(data, data[begin : begin + 1])
        asker_key = _key(rest, peer) if rest else b""
        urls: Sequence[str] = (url,)
        asker = self._askers.get(asker_key)
        if asker is None:
            plain = read_plain(data)
            endpoint = endpoint_of(plain[1].partition("?")[0]) if plain else None
            if plain is None or endpoint is None:
                return None
            method, target, headers = plain
            asker, urls = authz.asker(endpoint, method, headers, peer), urls_of(endpoint, target, headers)
            if asker is None:
                return None
        answer = authz.answer_at_once(asker, urls, now)
        if answer is None:
            return None
        if answer.reply.status == 200:
            keep(self._answers, key, answer, MOST)
            if rest:
                keep(self._askers, asker_key, asker, MOST_ASKERS)
        return answer.reply.sent(now, with_body=asker.method != "HEAD")


def _key(data: bytes, peer: str) -> bytes:
    return hashlib.sha256(data).digest() + peer.encode()


def _still(holders: Holders, known: KnownAnswer, now: int) -> bool:
    """Whether an answer holds; its use is noted. Raises StoreError."""
    if known.holder is None:
        return True
    token = known.reply.token
    if (token is not None and not token.counts(now)) or not holders.lives(known.holder, now):
        return False
    holders.touch(known.holder, now, known.address)
    return True
