"""clearml.md 7.2 and 7.3: what is refused or remarked when a vault is written, judged by the SDK's own parser."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.hocon import parse
from gateway.vaults.text import MOST_REMARKS, UnusableText, prepare, prepare_in_thread
from tests.hocon.hocon_oracle import CLIENT_PYTHON, Oracle

ROWS = tomllib.loads(Path(__file__).with_name("text_rows.toml").read_text("utf-8"))
CASES = [pytest.param(row, id=f"{topic} {n}") for topic, rows in ROWS.items() for n, row in enumerate(rows, 1)]


@pytest.fixture(scope="module")
def client() -> Iterator[Oracle]:
    assert CLIENT_PYTHON.exists(), "the SDK's environment is missing: make clients"
    with Oracle(CLIENT_PYTHON, "clearml.utilities.pyhocon", {"PATH": os.environ["PATH"]}) as started:
        yield started


@pytest.mark.parametrize("row", CASES)
def test_row(row: dict[str, Any], client: Oracle) -> None:
    format_, shared = row.get("format", "hocon"), row.get("shared", True)
    if "refused" in row:
        with pytest.raises(UnusableText) as caught:
            prepare(row["text"], format_, shared=shared)
        assert row["refused"] in caught.value.message
        assert (caught.value.line, caught.value.column) == tuple(row["at"])
        return
    prepared = prepare(row["text"], format_, shared=shared)
    if "reads" in row:
        theirs = client.read(prepared.delivered) if prepared.delivered else {}
        assert json.dumps(theirs) == json.dumps(json.loads(row["reads"], strict=False))
    if "warns" in row:
        found = [remark for remark in prepared.warnings if row["warns"] in remark.message]
        assert found, prepared.warnings
        assert "at" not in row or (found[0].line, found[0].column) == tuple(row["at"])
    else:
        assert prepared.warnings == ()


def test_hocon_is_delivered_as_written() -> None:
    text = "# kept\nsdk { a = 1 }  // too\r\n"
    assert prepare(text, "hocon", shared=True).delivered == text


def test_what_is_converted_keeps_its_lines() -> None:
    """So the client's own messages, and the origins of a merge, point into the text as it was written; also at the column
    where the quotation marks of JSON leave room.
    """
    text = "# first\nsdk:\n  a: &x [1, 2]\n\n  'b c':\n    - 1\n    - {d: *x}\nagent: {e: 2,     f: '3'}\n"
    delivered = prepare(text, "yaml", shared=True).delivered
    root = parse(delivered, dialect="pyhocon").value
    places = [root["sdk"], root["sdk"].value["a"], root["sdk"].value["b c"], root["agent"].value["f"]]
    assert [place.position[1:] for place in places] == [(2, 1), (3, 3), (5, 3), (8, 19)]


def test_no_message_quotes_what_stands_there() -> None:
    secret = "hunter2"
    texts = [f"sdk.a = {secret}@x", f"sdk {{ a = \"{secret}", f"api.http.default_method = {secret}", f"sdk = {secret}", f"${{{secret}"]
    for text in texts:
        with pytest.raises(UnusableText) as caught:
            prepare(text, "hocon", shared=True)
        assert secret not in f"{caught.value}{caught.value!r}"
    for format_, text in (("json", f'{{"a": {secret}}}'), ("yaml", f"a: [{secret}\nb: }}"), ("yaml", f"a: !{secret} x")):
        with pytest.raises(UnusableText) as caught:
            prepare(text, format_, shared=True)
        assert secret not in str(caught.value)


def test_remarks_are_bounded() -> None:
    prepared = prepare("\n".join(f"a{n} = TRUE" for n in range(1000)), "hocon", shared=True)
    assert len(prepared.warnings) == MOST_REMARKS


def test_an_unknown_format() -> None:
    with pytest.raises(UnusableText):
        prepare("a = 1", "toml", shared=False)


async def test_in_a_thread() -> None:
    assert (await prepare_in_thread("a: 1", "yaml", shared=True)).delivered == '{"a": 1}'
    with pytest.raises(UnusableText):
        await prepare_in_thread("a = @", "hocon", shared=True)


# Any tree that can be said to the client: keys without quotation marks, backslashes and control characters.
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=8).filter(
    lambda key: key != "env" and not set("﷐﷑") & set(key)
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0﷐﷑"), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
# Without the numbers that our narrower YAML takes for text: 1e-07, or of more than a hundred digits.
yaml_scalars = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.integers(-999, 999).map(lambda n: n / 4) | texts


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    inner = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)
    return st.dictionaries(keys, inner, max_size=4).filter(fits)


def fits(tree: dict[str, Any]) -> bool:
    return all(isinstance(tree.get(section, {}), dict) for section in ("sdk", "agent", "api", "environment", "files"))


def as_read(tree: Any) -> Any:
    """What the client is known to make of a tree: no empty strings in lists, quotation marks around some keys."""
    if isinstance(tree, dict):
        return {f'"{key}"' if set(key) & set("$}[]:=+#`^?!@*&.") else key: as_read(item) for key, item in tree.items()}
    return [as_read(item) for item in tree if item != ""] if isinstance(tree, list) else tree


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(trees(scalars), st.booleans(), st.sampled_from([None, 1]))
def test_json_reaches_the_client(client: Oracle, tree: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    delivered = prepare(json.dumps(tree, ensure_ascii=ascii_only, indent=indent), "json", shared=True).delivered
    assert json.dumps(client.read(delivered) if delivered else {}) == json.dumps(as_read(tree))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(trees(yaml_scalars), st.sampled_from([None, False, True]))
def test_yaml_reaches_the_client(client: Oracle, tree: dict[str, Any], flow: bool | None) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    delivered = prepare(text, "yaml", shared=True).delivered
    meant = yaml.safe_load(text)  # not always the tree: PyYAML folds lines that it wrote itself
    assert json.dumps(client.read(delivered) if delivered else {}) == json.dumps(as_read(meant))
