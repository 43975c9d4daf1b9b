"""Hostile vault texts: refused or inert, soon, with nothing read and nothing fetched (clearml.md 7.3; includes, environment)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.vaults.merge import Source, merge
from gateway.vaults.text import Prepared, UnusableText, prepare, prepare_in_thread

SECONDS = 20
"""A generous deadline for one text; the slowest takes about one."""
MEBIBYTE = 1024 * 1024


def doubling(levels: int) -> str:
    return "a0 = [1, 2]\n" + "\n".join(f"a{n} = ${{a{n - 1}}} ${{a{n - 1}}}" for n in range(1, levels))


def many(opening: str, closing: str = "", depth: int = 100_000) -> str:
    return "a = " + opening * depth + closing * depth


HOSTILE = {
    "deep braces": ("hocon", many("{a=", "}")),
    "deep lists": ("hocon", many("[", "]")),
    "opening braces": ("hocon", "{" * 500_000),
    "long dotted key": ("hocon", "a" + ".a" * 300 + " = 1"),
    "dotted keys in objects": ("hocon", ("a.a.a.a.a {" * 30) + "}" * 30),
    "doubling lists": ("hocon", doubling(60)),
    "doubling objects": ("hocon", "o0 { x = 1 }\n" + "\n".join(f"o{n} {{ l = ${{o{n - 1}}}, r = ${{o{n - 1}}} }}" for n in range(1, 40))),
    "doubling strings": ("hocon", "a0 = xxxxxxxx\n" + "\n".join(f"a{n} = ${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 60))),
    "cycle": ("hocon", "a = ${b}\nb = ${c}\nc = ${a}"),
    "chain": ("hocon", "\n".join(f"a{n} = ${{a{n + 1}}}" for n in range(20_000)) + "\na20000 = 1"),
    "many +=": ("hocon", "a = [1]\n" + "a += [1]\n" * 50_000),
    "many keys": ("hocon", "\n".join(f"k{n} = 1" for n in range(90_000))),
    "many variables": ("hocon", "a = " + "${?X}" * 100_000),
    "open substitution": ("hocon", "a = " + "${" * 300_000),
    "quotation marks": ("hocon", "a = " + '"' * 500_000),
    "backslashes": ("hocon", "a = " + "\\" * 500_000),
    "blanks": ("hocon", "a = x" + " " * 900_000 + "@"),
    "comments": ("hocon", "#" * 900_000),
    "commas": ("hocon", "," * 900_000),
    "tabs": ("hocon", "\t" * 900_000 + "a = 1"),
    "more than the limit": ("hocon", "a = " + "x" * MEBIBYTE),
    "a megabyte in one string": ("hocon", f'sdk.a = "{"x" * (MEBIBYTE - 100)}"'),
    "a megabyte of words": ("hocon", "sdk.a = " + "word " * (MEBIBYTE // 5 - 10)),
    "four bytes a sign": ("hocon", f'sdk.a = "{chr(0x1F600) * (MEBIBYTE // 4)}"'),
    "binary": ("hocon", bytes(range(256)).decode("latin-1") * 100),
    "one key in many objects": ("hocon", "\n".join(f"a {{ k{n} = 1 }}" for n in range(1000))),
    "one key in larger objects": ("hocon", "\n".join("a { " + ", ".join(f"k{n}x{m} = 1" for m in range(20)) + " }" for n in range(200))),
    "one key with many substitutions": ("hocon", "a = [1]\n" + "a += [2]\n" * 1000),
    "values side by side": ("hocon", "a = " + "[1]" * 5000),
    "a picture": ("yaml", bytes(range(256)).decode("latin-1") * 100),
    "another encoding": ("hocon", "sdk.a = 1".encode("utf-16").decode("latin-1")),
    "half a pair": ("json", '{"a": "\ud800"}'),
    "a NUL": ("json", '{"a": "\0"}'),
    "deep JSON": ("json", "[" * 100_000),
    "deep JSON objects": ("json", '{"a":' * 50_000 + "1" + "}" * 50_000),
    "long number": ("json", '{"a": ' + "9" * 900_000 + "}"),
    "many JSON values": ("json", json.dumps({"a": [0] * 100_000})),
    "aliases": ("yaml", "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True))),
    "deep YAML": ("yaml", "a: " + "[" * 100_000),
    "deep YAML blocks": ("yaml", "".join(" " * n + "a:\n" for n in range(1000))),
    "anchors": ("yaml", "\n".join(f"k{n}: &a{n} [{n}]" for n in range(40_000))),
    "YAML tags": ("yaml", "a: !!python/object/new:os.system [echo]\n"),
    "YAML directives": ("yaml", "%YAML 1.2\n%TAG ! tag:x,2000:\n---\na: !b c\n"),
    "long YAML key": ("yaml", "? " + "k" * 900_000 + "\n: 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_ends_soon(name: str) -> None:
    format_, text = HOSTILE[name]
    started = time.monotonic()
    prepared = None
    with contextlib.suppress(UnusableText):
        prepared = prepare(text, format_, shared=True)
    if prepared is not None:
        assert len(prepared.delivered) <= 2 * len(text)
        merged = merge([Source("v", prepared.delivered)])
        assert merged.dropped == () and sum(1 for _ in merged.leaves()) <= 100_000
    assert time.monotonic() - started < SECONDS


SLOW_AT_THE_CLIENT = [name for name in HOSTILE if name.startswith(("one key", "values side"))]


@pytest.mark.parametrize("name", SLOW_AT_THE_CLIENT)
def test_what_would_take_every_client_long_is_refused(name: str) -> None:
    """The client's time grows with the square of these (measured with SDK 2.1.12: 8, 6, 5 and 2 seconds)."""
    with pytest.raises(UnusableText, match="too many"):
        prepare(HOSTILE[name][1], "hocon", shared=True)


def test_many_pieces_are_warned_of() -> None:
    def warned(count: int) -> bool:
        text = "\n".join(f"a {{ k{n} = 1 }}" for n in range(count))
        return any("many pieces" in remark.message for remark in prepare(text, "hocon", shared=True).warnings)

    assert (warned(30), warned(60)) == (False, True)


@pytest.mark.parametrize("sign", ["x", "é", "\\n"])
def test_what_aliases_repeat_is_never_written_beyond_the_limit(sign: str) -> None:
    """A YAML text of 100 KB names a long scalar 30,000 times: gigabytes, were they written."""
    text = f'a: &a "{sign * 10_000}"\nb: [' + "*a," * 30_000 + "]"
    tracemalloc.start()
    try:
        with pytest.raises(UnusableText, match="aliases"):
            prepare(text, "yaml", shared=True)
        assert tracemalloc.get_traced_memory()[1] < 100 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["many keys", "a megabyte of words", "anchors"])
async def test_the_event_loop_goes_on(name: str) -> None:
    format_, text = HOSTILE[name]
    work = asyncio.ensure_future(prepare_in_thread(text, format_, shared=True))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1
    assert isinstance(work.exception() or work.result(), UnusableText | Prepared)


async def test_a_caller_who_goes_away_blocks_nobody() -> None:
    gone = asyncio.ensure_future(prepare_in_thread(HOSTILE["many keys"][1], "hocon", shared=True))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await asyncio.wait_for(prepare_in_thread("a: 1", "yaml", shared=True), SECONDS)).delivered == '{"a": 1}'


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A file that nobody can open without being noticed, and a server that nobody has come to yet."""
    os.mkfifo(tmp_path / "bait.conf")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield tmp_path / "bait.conf", server


INCLUDES = [
    'include "{x}"', 'include"{x}"', "include file(\"{x}\")", "include url(\"{x}\")", 'include required("{x}")',
    'include required(file("{x}"))', 'include required(url("{x}"))', 'include package("p", "{x}")', 'include classpath("{x}")',
    'INCLUDE "{x}"', 'Include   "{x}"', 'include\t"{x}"', 'include\n"{x}"', "sdk {{ include \"{x}\" }}", 'sdk = include "{x}"',
    'sdk.a = [include "{x}", 1]', 'a = 1, include "{x}"', 'a = 1\n,,include "{x}"', '{{ include "{x}" }}', 'a = "s" include "{x}"',
    'sdk.a = ${{?X}} include "{x}"', 'include # c\n"{x}"', 'a = \\\ninclude "{x}"', 'include "{x}" include "{x}"',
    'include """{x}"""', 'include url( "{x}" )', "include '{x}'", 'includefile("{x}")', 'include: "{x}"',
]  # fmt: skip


@pytest.mark.parametrize("statement", INCLUDES)
def test_includes_read_and_fetch_nothing(statement: str, bait: tuple[Path, socket.socket]) -> None:
    file, server = bait
    address = f"http://127.0.0.1:{server.getsockname()[1]}/x.conf"
    for target in (str(file), f"file://{file}", address):
        with contextlib.suppress(UnusableText):
            prepared = prepare(statement.format(x=target), "hocon", shared=False)
            assert "include" in merge([Source("v", prepared.delivered)]).tree, "an ordinary key of that name"
        merge([Source("v", statement.format(x=target))])
    with pytest.raises(OSError, match="No such device or address"):  # ENXIO: nobody has it open for reading
        os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        server.accept()


def test_the_own_environment_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PLANTED", "planted-secret")
    text = "sdk.a = ${GATEWAY_PLANTED}\nsdk.b = ${?GATEWAY_PLANTED}\nsdk.c = \"x\"${HOME}\nPATH = ${?PATH}x\nsdk.d = ${HOME}"
    prepared = prepare(text.replace("PATH = ${?PATH}x\n", ""), "hocon", shared=False)
    merged = merge([Source("v", prepared.delivered), Source("w", text)])
    shown = f"{prepared}{merged.tree}{merged.text('hocon')}{list(merged.leaves())}{merged.dropped}"
    assert "planted-secret" not in shown and os.environ["HOME"] not in shown
    assert merged.tree["sdk"]["a"] == "${GATEWAY_PLANTED}"
