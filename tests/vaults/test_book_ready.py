"""Bytes put together from pieces that were made before (RFC 1950, RFC 1951)."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from gateway.vaults.ready import Answers, Cache, Ready, compressed, stored, zlib_stream

PIECES = st.lists(
    st.tuples(st.booleans(), st.binary(max_size=200) | st.integers(0, 200_000).map(lambda size: b"\xff" * size)), max_size=6
)


@given(PIECES)
def test_any_pieces_make_one_stream(given_pieces: list[tuple[bool, bytes]]) -> None:
    """The checksum of the whole is computed from those of the pieces; zlib checks it."""
    pieces = [compressed(plain) if squeeze else stored(plain) for squeeze, plain in given_pieces]
    assert zlib.decompress(zlib_stream(pieces)) == b"".join(piece.plain for piece in pieces)


def test_no_piece_refers_to_another() -> None:
    """Equal secrets in two pieces make an answer no shorter than different ones (CRIME, BREACH)."""
    secret = compressed(bytes(range(256)))
    assert len(zlib_stream([secret, secret])) == len(zlib_stream([secret])) + len(secret.blocks)


def ready(size: int) -> Ready:
    return Ready(b"x" * size, b"", 0)


def test_the_cache_keeps_to_its_limit() -> None:
    cache = Cache(limit=10_000)
    for name in ("a", "b", "c"):
        cache.put(name, ready(2000))
    assert cache.get("a") is not None
    cache.put("d", ready(2000))
    assert [cache.get(name) is not None for name in "abcd"] == [True, False, True, True]
    cache.put("large", ready(6000))
    assert cache.get("large") is None
    for _ in range(20):
        cache.put("a", ready(2000))
    assert cache.get("c") is not None, "replacing takes no room"
    cache.clear()
    assert cache.get("a") is None
    for name in range(1000):
        cache.put(name, ready(0))
    assert cache.get(0) is None
    assert cache.get(999) is not None


def test_answers_count_for_one_version_until_their_end() -> None:
    answers = Answers()
    assert answers.get("q", 1, 10) is None
    answers.put("q", 1, 20, (ready(1),))
    answers.put("late", 0, 20, (ready(1),))
    assert answers.get("q", 1, 19) == (ready(1),)
    assert answers.get("q", 1, 20) is None
    assert answers.get("late", 1, 10) is None, "begun before somebody wrote"
    assert answers.get("q", 2, 10) is None
    assert answers.get("q", 1, 10) is None


def test_answers_keep_to_their_limits() -> None:
    """Many tokens share the vaults of a group; many questions of one token must not fill the memory."""
    answers = Answers(entries=50, limit=100_000)
    answers.get("", 1, 0)
    shared = ready(60_000)
    for number in range(40):
        answers.put(number, 1, 99, (shared, ready(1)))
    assert all(answers.get(number, 1, 0) for number in range(40))
    for number in range(100, 300):
        answers.put(number, 1, 99, (ready(10_000), shared))
        answers.put(number, 1, 99, (ready(90_000),))
    kept = [number for number in range(300) if answers.get(number, 1, 0)]
    assert kept == [297, 298, 299]
    answers.put("huge", 1, 99, (ready(200_000),))
    assert not any(answers.get(number, 1, 0) for number in (*range(300), "huge"))
    for number in range(60):
        answers.put(number, 1, 99, (ready(1),))
    assert [number for number in range(60) if answers.get(number, 1, 0)] == list(range(10, 60))
