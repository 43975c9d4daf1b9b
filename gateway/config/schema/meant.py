"""Which of the known words was meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

NEAR: Final = 0.7
"""How close (of 1) a word must be to be suggested."""
_LONGEST: Final = 64


def nearest(word: str, known: Iterable[str], near: float = NEAR) -> str:
    """The closest of the known words; empty where none is close."""
    return next(iter(difflib.get_close_matches(word[:_LONGEST], known, 1, near)), "")


def asked(word: str) -> str:
    """``; did you mean "word"?``; nothing for nothing."""
    return f'; did you mean "{word}"?' if word else ""


def meant(word: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """The question, for what other programs call it (``elsewhere``) or what is written nearly so."""
    folded = word.lower()
    return asked((elsewhere or {}).get(folded) or nearest(folded, known))
