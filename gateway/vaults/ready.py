"""Bytes that are ready to be sent, also compressed, and put together without touching them again.

A compressed answer is one zlib stream (RFC 1950, what HTTP calls ``deflate``) of blocks that were made before, each
with its own checksum. No piece refers to another, so that the length of an answer says nothing about a secret in one
piece to whoever has chosen another.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

MAX_CACHED: Final = 64 * 1024 * 1024
"""Bytes of ready listings that one configuration keeps."""
_HEADER: Final = b"\x78\x01"
_LAST_BLOCK: Final = b"\x01\x00\x00\xff\xff"
_MODULUS: Final = 65521
"""Of Adler-32."""
_MOST_STORED: Final = 65535
"""Bytes of one block that is not compressed."""


class Ready(NamedTuple):
    """Some bytes, and blocks of a deflate stream (RFC 1951) that stand for them."""

    plain: bytes
    blocks: bytes
    checksum: int
    """Adler-32 of the bytes."""


def stored(plain: bytes) -> Ready:
    """Blocks that hold the bytes as they are; costs next to nothing for short ones."""
    pieces = [plain[start : start + _MOST_STORED] for start in range(0, len(plain), _MOST_STORED)]
    blocks = b"".join(struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF) + piece for piece in pieces)
    return Ready(plain, blocks, zlib.adler32(plain))


def compressed(plain: bytes) -> Ready:
    """Compressed blocks; takes milliseconds for what is large."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    blocks = compressor.compress(plain) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Ready(plain, blocks, zlib.adler32(plain))


def zlib_stream(pieces: Sequence[Ready]) -> bytes:
    """All pieces as one zlib stream."""
    low, high = 1, 0
    for piece in pieces:
        length, more = len(piece.plain) % _MODULUS, piece.checksum & 0xFFFF
        high = (high + (piece.checksum >> 16) + length * (low - 1)) % _MODULUS
        low = (low + more - 1) % _MODULUS
    total = struct.pack(">I", high << 16 | low)
    return b"".join((_HEADER, *(piece.blocks for piece in pieces), _LAST_BLOCK, total))


class Cache:
    """Ready bytes by what was asked for, the least recently used dropped first."""

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[Hashable, Ready] = OrderedDict()

    def get(self, key: Hashable) -> Ready | None:
        """What was kept."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: Hashable, content: Ready) -> None:
        """Keep this, unless it alone would take most of the room."""
        if _cost(content) > self._limit // 2:
            return
        self._size += _cost(content) - _cost(self._entries.pop(key, None))
        self._entries[key] = content
        while self._size > self._limit:
            _, dropped = self._entries.popitem(last=False)
            self._size -= _cost(dropped)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._size = 0


def _cost(content: Ready | None) -> int:
    """Bytes, with those of the entry around them."""
    return 0 if content is None else len(content.plain) + len(content.blocks) + 512


class Answers:
    """Whole answers by question, as long as no process has written anything to the store and no token has ended."""

    def __init__(self, entries: int = 10_000, limit: int = MAX_CACHED) -> None:
        self._most = entries
        self._limit = limit
        self._version = -1
        self._entries: OrderedDict[Hashable, tuple[int, tuple[Ready, ...]]] = OrderedDict()
        self._uses: Counter[int] = Counter()
        """In how many answers a piece is, by its identity: those of a group share theirs, which takes room once."""
        self._size = 0

    def get(self, question: Hashable, version: int, now: int) -> tuple[Ready, ...] | None:
        """What was answered at this version of the store."""
        if version != self._version:
            self._version, self._size = version, 0
            self._entries.clear()
            self._uses.clear()
        ends, pieces = self._entries.get(question, (0, None))
        return pieces if now < ends else None

    def put(self, question: Hashable, version: int, ends: int, pieces: tuple[Ready, ...]) -> None:
        """Keep an answer that was begun at this version, until a time in seconds since 1970."""
        if version != self._version or question in self._entries:
            return
        self._entries[question] = (ends, pieces)
        for piece in pieces:
            self._uses[id(piece)] += 1
            if self._uses[id(piece)] == 1:
                self._size += _cost(piece)
        while self._size > self._limit or len(self._entries) > self._most:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, pieces) = self._entries.popitem(last=False)
        for piece in pieces:
            self._uses[id(piece)] -= 1
            if not self._uses[id(piece)]:
                del self._uses[id(piece)]
                self._size -= _cost(piece)
