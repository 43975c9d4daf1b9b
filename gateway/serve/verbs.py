"""LIST, SCAN and HELP for the Vault dialect: ``LIST /v1/x`` reaches aiohttp as ``GET /v1/x?list=true`` (vault.md 1).

aiohttp's parser refuses those verbs before any handler runs. They are rewritten only where a message begins, and where
that is, the parser itself has to tell: a message ends with an octet when feeding that octet alone ends it. Wherever
this cannot be known nothing is rewritten, and the parser refuses the verb as it always does.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler

from gateway.serve.target import parse_target

_PARAMETERS: Final = {b"LIST": b"list=true", b"SCAN": b"scan=true", b"HELP": b"help=1"}
_VERBS: Final = tuple(verb + b" " for verb in _PARAMETERS)
_ANYWHERE: Final = re.compile(b"|".join(_VERBS))
_LETTERS: Final = frozenset(b"".join(_PARAMETERS))
_LINE: Final = re.compile(rb"(LIST|SCAN|HELP) ([!\"$-~]+)( HTTP/1\.[01]\r?\n)")
"""A target has no blanks, no control characters and no ``#``."""
_END: Final = b"\r\n\r\n"
_FULL: Final = MAX_MSG_QUEUE_SIZE - 1
"""Messages that wait to be answered, from which on the parser may stop behind one and keep the rest."""
_MOST: Final = 32
"""Places looked at in one packet: a body made of verbs costs no more than any other."""


class VerbHandler(RequestHandler):
    """aiohttp's side of a connection, which takes these verbs too."""

    def __init__(self, manager: web.Server, *, verbs: bool = True, **options: Any) -> None:
        """``verbs`` false leaves everything to aiohttp."""
        super().__init__(manager, **options)
        self._begins = True
        """Whether the next octet is the first of a message."""
        self._held = b""
        """Octets at the beginning of a message that may become a line with one of the verbs."""
        self._body: StreamReader | None = None
        """Of the last message."""
        self._unsure = not verbs
        """Whether the parser may have kept messages back, so that nothing is known any more."""

    def data_received(self, data: bytes) -> None:
        """Pass octets on, rewritten where one of the verbs begins a message."""
        if self._unsure:
            super().data_received(data)
            return
        if self._held:
            data, self._held = self._held + data, b""
        if not data or not _may_hold_one(data):
            self._parse(data)
            return
        start = 0
        for place in _places(data):
            if place < start:
                continue
            if place > start:
                self._parse(data[start:place])
                start = place
            if self._begins:
                start = self._take_line(data, start)
                if self._held:
                    return
        if start < len(data):
            self._parse(data[start:])

    def _take_line(self, data: bytes, start: int) -> int:
        """Pass on a rewritten line, or hold what may become one; where the rest begins."""
        first = data[start : start + 5]
        if not any(verb.startswith(first) for verb in _VERBS):
            return start
        end = data.find(b"\n", start)
        if end < 0:
            if len(data) - start < self.max_line_size:
                self._held = data[start:]
            return start
        line = _LINE.fullmatch(data, start, end + 1)
        if line is None or not parse_target(line[2].decode("ascii")).path.startswith("/v1/"):
            return start
        path, _, query = line[2].partition(b"?")
        target = path + b"?" + _PARAMETERS[line[1]] + (b"&" + query if query else b"")
        self._parse(b"GET " + target + line[3])
        return end + 1

    def _parse(self, piece: bytes) -> None:
        """Let the parser have a piece, and see whether a message ends with it."""
        if piece.endswith(_END):
            # No head has these octets within, so what ended in this piece has ended here.
            self._feed(piece)
            self._begins = self._has_ended()
            return
        if len(piece) > 1:
            self._feed(piece[:-1])
            piece = piece[-1:]
        ended = self._feed(piece)
        if piece:
            self._begins = ended

    def _feed(self, piece: bytes) -> bool:
        """Whether the last message ended just now; an empty piece lets the parser go on with what it kept back."""
        count, ended = self._request_count, self._has_ended()
        super().data_received(piece)
        if self._request_count == count:
            return not ended and self._has_ended()
        message, self._body = self._messages[-1]
        self._unsure |= len(self._messages) >= _FULL or not isinstance(message, RawRequestMessage)
        return self._has_ended()

    def _has_ended(self) -> bool:
        return self._body is None or self._body.is_eof()


def _may_hold_one(data: bytes) -> bool:
    """Whether one of the verbs is in there, or may begin at its end: seldom, and quickly told."""
    return b"LIST " in data or b"HELP " in data or b"SCAN " in data or data[-1] in _LETTERS


def _places(data: bytes) -> list[int]:
    """Where one of the verbs may begin, the first place of all included."""
    found = [0]
    for verb in _ANYWHERE.finditer(data):
        found.append(verb.start())
        if len(found) > _MOST:
            return found
    cut = next((n for n in range(4, 0, -1) if any(verb.startswith(data[-n:]) for verb in _VERBS)), 0)
    return [*found, len(data) - cut] if cut else found
