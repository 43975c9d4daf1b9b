"""Grafana's expressions, replaced in the text of a file or of one value (grafana.md 1.4)."""

from __future__ import annotations

import re
import socket
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Final

from .origin import Origin, Problems
from .position import Lines, Places
from .reading import Reading, SourceError

SIZE: Final = 8 * 1024 * 1024
"""Largest file that an expression names, and longest text after expansion: in bytes and in characters."""
_EXPRESSION: Final = re.compile(r"\$(?:__(\w++))?\{([^}]+)\}")
_NAME: Final = re.compile(r"[A-Za-z_]\w*+", re.ASCII)
_COMMENT: Final = re.compile(r"^[ \t]*+#", re.MULTILINE)


def has_expressions(text: str) -> bool:
    """Whether anything in the text may be an expression."""
    return next(_expressions(text), None) is not None


def expanded_value(
    text: str, environment: Mapping[str, str], origin: Origin, problems: Problems, reading: Reading
) -> str:
    """One value, which is written at ``origin``, with its expressions replaced.

    :raises SourceError: for a file that cannot be read.
    """
    return Expansion(text, _OnePlace(origin), reading).expand(environment, problems)[0]


class _OnePlace:
    """Places of a text that stands in one place as a whole."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def at(self, offset: int) -> Origin:
        return self.origin


class _Replaced:
    """Places of a text in which expressions were replaced: what was put in is written where its expression is."""

    def __init__(self, before: Places) -> None:
        self.origin = before.origin
        self._before = before
        self._starts: list[int] = []
        self._sources: list[tuple[int, bool]] = []

    def add(self, start: int, source: int, *, put_in: bool) -> None:
        """Note that from ``start`` on the text is that from ``source`` on of the text before, or was put in there."""
        self._starts.append(start)
        self._sources.append((source, put_in))

    def at(self, offset: int) -> Origin:
        """Where the character at an offset is written."""
        index = bisect_right(self._starts, offset) - 1
        source, put_in = self._sources[index]
        return self._before.at(source if put_in else source + offset - self._starts[index])


class Expansion:
    """Expands the expressions of one text."""

    def __init__(self, text: str, places: Places, reading: Reading) -> None:
        self._text = text
        self._places = places
        self._lines = Lines(text, places.origin)
        self._comments = {found.start() for found in _COMMENT.finditer(text)}
        self._reading = reading
        self._files: dict[str, str] = {}

    def expand(self, environment: Mapping[str, str], problems: Problems) -> tuple[str, Places]:
        """The text afterwards, and its places.

        Grafana's order: all environment expressions first, so that their values may hold file expressions.

        :raises SourceError: for a file that cannot be read, or where the text becomes too long.
        """

        def variable(match: re.Match[str], place: Origin) -> str:
            if match[1] not in (None, "env"):
                return match[0]
            value = environment.get(match[2], "") or (socket.gethostname() if match[2] == "HOSTNAME" else "")
            commented = self._lines.start(match.start()) in self._comments
            if not value and match[2] not in environment and not commented:
                problems.warn(place, "", _unset(match))
            return value

        def file(match: re.Match[str], place: Origin) -> str:
            return self._file(match[2], place) if match[1] == "file" else match[0]

        return _replace(*_replace(self._text, self._places, variable), file)

    def _file(self, name: str, place: Origin) -> str:
        if name not in self._files:
            try:
                self._files[name] = self._reading.text(FilePath(name).absolute(), SIZE, "other").strip()
            except SourceError as error:
                written = f"$__file{{{name}}}"
                if not name.isprintable():
                    written = "$__file{...}"
                elif written not in self._text:  # it is, or holds, the value of a variable
                    written = "a $__file expression with the value of a variable"
                raise SourceError(f"{written}: {error}", place.line, place.column) from None
        return self._files[name]


def _expressions(text: str) -> Iterator[re.Match[str]]:
    """What may be one. Behind the last brace none is, and each ``${`` there would be tried on all the rest."""
    return _EXPRESSION.finditer(text, 0, text.rfind("}") + 1)


def _replace(text: str, before: Places, value: Callable[[re.Match[str], Origin], str]) -> tuple[str, Places]:
    places = _Replaced(before)
    pieces: list[str] = []
    length = end = 0

    def put(piece: str, source: int, *, put_in: bool) -> None:
        nonlocal length
        places.add(length, source, put_in=put_in)
        pieces.append(piece)
        length += len(piece)

    for match in _expressions(text):
        replaced = value(match, before.at(match.start()))
        if replaced == match[0]:
            continue
        put(text[end : match.start()], end, put_in=False)
        put(replaced, match.start(), put_in=True)
        end = match.end()
        if length > SIZE:
            raise SourceError(f"larger than {SIZE} characters with the values of its expressions")
    put(text[end:], end, put_in=False)
    return "".join(pieces), places


def _unset(match: re.Match[str]) -> str:
    """What is said of an expression without value; what only looks like one may be part of a password."""
    if _NAME.fullmatch(match[2]):
        return f"{match[0]} becomes empty, because {match[2]} is not set"
    return "an expression becomes empty, because it names no variable"
