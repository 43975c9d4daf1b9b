"""Texts of strangers on a terminal and in logs."""

from __future__ import annotations

import json

import pytest

from gateway.printable import MAX_TEXT, printable, printable_json

# text, as it is shown
TEXTS = [
    ("ada", "ada"),
    ("Jürgen 数学 🎓", "Jürgen 数学 🎓"),
    ("a\x1b[31m\nb", r"a\x1b[31m\nb"),
    ("\x9b2J\x9d0;title\x9c", r"\x9b2J\x9d0;title\x9c"),
    ("\u202ebirthday\u2028\u0085", r"\u202ebirthday\u2028\x85"),
    ("\ud800\U000e0001", r"\ud800\U000e0001"),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_texts(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable_json(json.dumps(text, ensure_ascii=False)).isprintable()
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 10_000) == "x" * MAX_TEXT + "..."
    assert printable("x" * 10_000, 10_000) == "x" * 10_000
