"""What can be said of a regular expression without a text to search."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.access.patterns import BadPattern, Pattern

_BEGINNINGS: Final = ("^", r"\A", "(?i)^")
_ENDS: Final = ("$", r"\z")
_OPAQUE: Final = re.compile(r"\\[^Az]|\[\^?\]?[^\]]*\]")
"""Escapes and classes, but for the escapes that stand for an end of the text."""
_INNERMOST_GROUP: Final = re.compile(r"\((?!\?[a-zA-Z-]+\))[^()]*\)")
"""But for flags such as ``(?i)``, which are none."""
_ELSEWHERE: Final = (
    (re.compile(r"\(\?<?[=!]"), "it cannot look ahead or behind: write a rule before this one for what it leaves out"),
    (re.compile(r"\\[1-9]"), "it cannot refer back to a group"),
    (re.compile(r"\\Z"), r"write $ or \z for \Z"),
    (re.compile(r"[*+?}]\+|\(\?>"), "nothing is tried twice here: write it without the second + and (?>"),
)
"""What other engines know, and what to write instead."""


def regex_problem(pattern: str) -> str:
    """Why an expression cannot be used; empty where it can."""
    try:
        Pattern(pattern)
    except BadPattern as error:
        return str(error) + next((f"; {advice}" for found, advice in _ELSEWHERE if found.search(pattern)), "")
    return ""


def regex_warning(pattern: str, *, begins: bool, ends: bool) -> str:
    """What is dangerous in a good expression; ``begins`` and ``ends``: where it should be tied down."""
    branches = _branches(pattern)
    if begins and not all(branch.startswith(_BEGINNINGS) for branch in branches):
        where = "" if len(branches) == 1 else " in each of its branches"
        return f"is found anywhere, because it does not begin with ^{where}"
    if ends and not all(branch.endswith(_ENDS) for branch in branches):
        where = "" if len(branches) == 1 else " in each of its branches"
        return f"is found in longer hosts too, because it does not end with ${where}"
    return ""


@lru_cache(maxsize=4096)
def named_groups(pattern: str) -> frozenset[str]:
    """Names of the groups of an expression; none where it is not a good one."""
    if "(?" not in pattern:
        return frozenset()
    try:
        return Pattern(pattern).names
    except BadPattern:
        return frozenset()


def _branches(pattern: str) -> list[str]:
    """Its alternatives where those can be told by a look; else the whole."""
    plain = _OPAQUE.sub("_", pattern)
    while "|" in plain and (shorter := _INNERMOST_GROUP.sub("_", plain)) != plain:
        plain = shorter
    return [pattern] if "(" in plain or ")" in plain else plain.split("|")
