"""Dialect ``pyhocon`` against the parser that it imitates, the one vendored in ClearML's SDK 2.1.12 (clearml.md 7.3)."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.hocon import HoconError, Limits, parse, plain
from tests.hocon.hocon_documents import documents as connected
from tests.hocon.hocon_oracle import CLIENT_PYTHON, HANG, Oracle

ROWS = tomllib.loads(Path(__file__).with_name("client_rows.toml").read_text("utf-8"))
CASES = [pytest.param(row, id=f"{topic} {n}") for topic, rows in ROWS.items() for n, row in enumerate(rows, 1)]
ENVIRONMENT = {"HOMEX": "there"}
DOCUMENTS = 2_000
SEEDS = range(3, 13) if os.environ.get("GATEWAY_SOAK") == "1" else [3]


@pytest.fixture(scope="module")
def client() -> Iterator[Oracle]:
    assert CLIENT_PYTHON.exists(), "the SDK's environment is missing: make clients"
    with Oracle(CLIENT_PYTHON, "clearml.utilities.pyhocon", {**os.environ, **ENVIRONMENT}, seconds=1) as started:
        yield started


def ours(text: str) -> str | None:
    """Our reading as JSON; None where the vault is lost."""
    try:
        return json.dumps(plain(parse(text, dialect="pyhocon", environment=ENVIRONMENT)))
    except HoconError as error:
        assert error.position.line <= text.count("\n") + text.count("\r") + 1
        return None


@pytest.mark.parametrize("row", CASES)
def test_row(row: dict[str, Any], client: Oracle) -> None:
    theirs = client.read(row["text"])
    if "hangs" in row:
        assert (ours(row["text"]), theirs) == (None, HANG)
    elif "differs" in row:
        expected = row["differs"] if row["differs"].startswith("{") else "null"
        assert json.loads(ours(row["text"]) or "null") == json.loads(expected)
        assert json.dumps(theirs) != ours(row["text"]), "no longer a difference"
    else:
        gives = None if "lost" in row else json.dumps(json.loads(row["gives"], strict=False))
        assert ours(row["text"]) == gives
        assert (None if theirs is None else json.dumps(theirs)) == gives, "the client itself reads it otherwise"


@pytest.mark.parametrize(
    ("opening", "closing", "lost_at"), [("a={", "}", 46), ("[", "]", 51), ('{"a":', "}", 46)], ids=["braces", "lists", "JSON"]
)  # fmt: skip
def test_depth(opening: str, closing: str, lost_at: int, client: Oracle) -> None:
    """clearml.md 7.3, depth. The client's limit moves with its own stack; ours is always below it."""

    def text(depth: int) -> str:
        inner = "a=" + opening * depth + closing * depth
        return inner if opening == "[" else opening * depth + closing * depth

    assert ours(text(30)) is not None and client.read(text(30)) is not None
    assert ours(text(41)) is None
    assert client.read(text(lost_at + 40)) is None


def test_a_dotted_key_of_300_parts_ends_every_client() -> None:
    """clearml.md 7.3, the last row."""
    assert ours("a" + ".a" * 300 + "=1") is None


def test_positions_are_those_of_the_text_before_tabs_became_blanks() -> None:
    root = parse("x = 1\n\tab\t=\t1, c\t= \"\t\", d = 4\n", dialect="pyhocon").value
    assert [(root[key].position.line, root[key].position.column) for key in ("ab", "c", "d")] == [(2, 2), (2, 10), (2, 19)]
    with pytest.raises(HoconError) as caught:
        parse("a\t= 1\n\tb\t= ?", dialect="pyhocon")
    assert caught.value.position[1:] == (2, 6)
    assert "ClearML client" in caught.value.message


words = st.text("abx01.-/: \t\"\\", max_size=6)
keys = st.sampled_from(["a", "b", "c", "a.b", '"a"', '"x.y"', "b c", "1", "a..c"])


def _values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
    objects = st.lists(st.tuples(keys, inner), max_size=3).map(
        lambda fields: "{" + ", ".join(f"{key} = {value}" for key, value in fields) + "}"
    )
    return lists | objects | st.tuples(inner, st.sampled_from(["", " ", "  "]), inner).map("".join)


scalars = st.sampled_from(
    ["1", "-2.50", "true", "FALSE", "null", "x", "x y", '"q"', '""', '"a\\tb"', "http://h:1", "007", "+5", "# c\n", "\n", ","]
)  # fmt: skip
documents = st.lists(
    st.tuples(keys, st.sampled_from([" = ", ": ", " ", "=\n", " += "]), st.recursive(scalars | words, _values, max_leaves=5)).map("".join)
).map("\n".join)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(documents)
def test_documents_without_substitutions_read_as_the_client_reads_them(client: Oracle, text: str) -> None:
    theirs = client.read(text)
    if ours(text) != (None if theirs is None else json.dumps(theirs)):
        assert excused(text, theirs), (text, theirs, ours(text))


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_with_substitutions_are_refused_or_read_as_the_client_reads_them(seed: int, client: Oracle) -> None:
    """Never a text that ends the client; and but for rare contrivances none that it loses, or reads otherwise. Of the
    order of keys nothing is said.
    """
    read, wrong = 0, []
    for text in connected(seed, DOCUMENTS, ["a", "b", "c", "a.b", "HOMEX", "d"]):
        tree = ours(text)
        if tree is not None:
            read += 1
            theirs = client.read(text)
            assert theirs != HANG, text
            if theirs != json.loads(tree):
                wrong.append((text, theirs, tree))
    assert read > DOCUMENTS / 20
    assert len(wrong) <= read / 100, wrong


def excused(text: str, theirs: Any) -> bool:
    """The rows of ``client_rows.toml`` marked ``differs``: null as part of a text, time values."""
    try:
        parse(text, dialect="pyhocon")
    except HoconError as error:
        return error.message.startswith(("null beside", "+= here", "a value after one"))
    return "TIME VALUE" in json.dumps(theirs)


def test_limits_hold_in_this_dialect_too() -> None:
    with pytest.raises(HoconError):
        parse("a = 1", dialect="pyhocon", limits=Limits(size=4))
    with pytest.raises(HoconError):
        parse("a = 1, b = 2", dialect="pyhocon", limits=Limits(values=1))
