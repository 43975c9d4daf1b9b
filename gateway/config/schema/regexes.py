"""What can be said of a regular expression without running it."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 512
"""Characters of an expression."""
_REPEATED_GROUP: Final = re.compile(r"(?<!\\)\)(?:[*+]|\{\d*,\}|\{\d{2,},?\d*\})")
_REPEATS: Final = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")


def regex_problem(pattern: str) -> str:
    """Why an expression cannot be used; empty where it can."""
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST} characters"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        position = getattr(error, "pos", None)
        text = getattr(error, "msg", "too deep or too large")
        return f"not a regular expression: {text}" + (f" at position {position}" if position is not None else "")
    return ""


def regex_warning(pattern: str, *, begins: bool, ends: bool) -> str:
    """What is dangerous in a good expression; ``begins`` and ``ends``: where it should be tied down."""
    if repeats_a_repetition(pattern):
        return "repeats a group that repeats something: some paths may take very long to compare"
    if begins and not pattern.startswith(("^", r"\A", "(?P<", "(?i)^")):
        return "is found anywhere, because it does not begin with ^"
    if ends and not pattern.endswith(("$", r"\Z")):
        return "is found in longer hosts too, because it does not end with $"
    return ""


def repeats_a_repetition(pattern: str) -> bool:
    """Whether a group with ``*`` or ``+`` in it, and nothing that must separate the turns, is itself repeated."""
    for found in _REPEATED_GROUP.finditer(pattern):
        inside = pattern[_opening(pattern, found.start()) : found.start()]
        # [^/]+/ within a repeated group ends each turn at a slash, which the turn cannot hold itself.
        if _REPEATS.search(inside) and not re.search(r"\[\^/\][*+]\??/$|^\((?:\?:)?/\[\^/\][*+]$", inside):
            return True
    return False


def _opening(pattern: str, closing: int) -> int:
    depth = 0
    for index in range(closing, -1, -1):
        if index and pattern[index - 1] == "\\":
            continue
        depth += (pattern[index] == ")") - (pattern[index] == "(")
        if not depth:
            return index
    return 0
