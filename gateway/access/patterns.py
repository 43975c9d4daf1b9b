"""Regular expressions that operators write and strangers' texts are searched with.

The engine is RE2: its time grows with the length of the text and the size of the expression and never faster, so that
no path or parameter makes it stand still. What needs more than that (looking ahead or behind, references back) it
refuses. Its syntax is https://github.com/google/re2/wiki/Syntax, that of Go's ``regexp``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import re2

LONGEST: Final = 512
"""Characters of an expression."""
LARGEST: Final = 2500
"""Instructions of a compiled expression, in which each turn of ``{n,m}`` is written out: what a path of the greatest
length costs at worst is this times its length, some tens of milliseconds."""
_MEMORY: Final = 1 << 20
"""Octets that one expression may keep of what it has learnt."""
_TOO_LARGE: Final = "is too large once its repetitions are written out: use smaller numbers in {n,m}, or * and +"
_NAME: Final = re.compile(r"\(\?P?<(\w+)>")
_PLACE: Final = re.compile(r"\^([A-Za-z0-9/_-]+)(\((?:\?:)?/\|\$\))?")
"""``^/api``, ``^/api/`` and ``^/api(/|$)``: what most expressions are, and need no engine for."""
_PREFIX: Final = re.compile(r"\^([A-Za-z0-9/_-]+)(?![*?{+])")
_PLAIN_GROUP: Final = re.compile(r"\((?:\?:)?[A-Za-z0-9/_|$^-]*\)")
_FLAGS_OR_QUOTES: Final = re.compile(r"\\Q|\(\?[^P:<]")


class BadPattern(ValueError):
    """Not an expression that can be used; the text says why."""


class Pattern:
    """One expression, compiled."""

    __slots__ = ("_compiled", "_is_place", "_prefix", "_whole", "names")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        """Raises BadPattern."""
        if len(text) > LONGEST:
            raise BadPattern(f"is longer than {LONGEST} characters")
        names = _NAME.findall(text)
        if len(names) > len(set(names)):
            raise BadPattern("names two groups alike: write two expressions")
        compiled = _compile(text, ignore_case=ignore_case)
        if compiled.programsize > LARGEST:
            raise BadPattern(_TOO_LARGE)
        self.names = frozenset(compiled.groupindex)
        """Names of its groups."""
        # Where a group is need not be found out that nobody asks for.
        self._compiled = compiled if self.names else _compile(text, ignore_case=ignore_case, never_capture=True)
        self._prefix = "" if ignore_case else _literal_beginning(text)
        place = None if ignore_case else _PLACE.fullmatch(text)
        self._is_place, self._whole = place is not None, bool(place and place[2])

    def find(self, text: str) -> Mapping[str, str] | None:
        """What its named groups hold where it is first found in a text; None: it is not there.

        A group that takes no part is empty.
        """
        if not text.startswith(self._prefix):
            return None
        if self._is_place:
            rest = text[len(self._prefix) :]
            return {} if not (self._whole and rest) or rest.startswith("/") else None
        found = self._compiled.search(text.encode("utf-8", "replace"))
        if found is None:
            return None
        return {name: (found[name] or b"").decode("utf-8", "replace") for name in self.names}


def _compile(text: str, *, ignore_case: bool, never_capture: bool = False) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.case_sensitive = not ignore_case
    options.never_capture = never_capture
    try:
        return re2.compile(text, options)
    except UnicodeEncodeError:
        raise BadPattern("not a regular expression: it is not valid text") from None
    except re2.error as error:
        said = error.args[0].decode("utf-8", "replace") if error.args else ""
        raise BadPattern(_TOO_LARGE if "too large" in said else f"not a regular expression: {said}") from None


def _literal_beginning(pattern: str) -> str:
    """What every text must begin with in which an expression is found: most requests are told apart by that alone.

    Empty where that takes more than a look: the beginning is not literal, or there may be another branch.
    """
    if _FLAGS_OR_QUOTES.search(pattern) or "|" in _PLAIN_GROUP.sub("", pattern):
        return ""
    found = _PREFIX.match(pattern)
    return found[1] if found else ""
