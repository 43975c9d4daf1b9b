"""YAML as configuration needs it: built from the parser's events, so that nothing is guessed and nothing explodes.

Duplicate keys, tags, merge keys, several documents and deep nesting are errors; aliases count towards a limit. Plain
scalars become null, truth values (``yes`` and ``off`` too, YAML 1.1), decimal numbers or text: ``0755``, ``1:30`` and
dates stay text, where PyYAML's own loaders make numbers and dates of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from .origin import Given, Origin
from .position import DEPTH, Lines
from .reading import TOO_DEEP, SourceError

VALUES: Final = 1_000_000
"""Most values, those repeated by aliases counted each time."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INT: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,99})", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})\.\d{1,18}(?:[eE][-+]?\d{1,3})?", re.ASCII)
_PLAIN: Final = (None, "")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED: Final = re.compile(r"'([^'\w])'|'[^']*'|\"[^\"]*\"")
"""What a message of PyYAML quotes: one sign that it expected, or some of the text."""


def parse_yaml(text: str, origin: Origin, *, values: int = VALUES) -> Given:
    """The one document of a text, as a tree of ``Given``; an empty text is an empty table.

    What an alias repeats keeps its positions; the entry or item that holds the alias has its own.

    :param values: the most that are read.
    :raises SourceError: saying why and where; never quoting the text.
    """
    lines = Lines(text, origin)
    builder = _Builder(lines, values)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        reason = _QUOTED.sub(lambda found: found[0] if found[1] else "text", error.problem or "syntax error")
        if mark and text[mark.index : mark.index + 1] == "\t":
            reason = "a tab: YAML is indented with blanks"
        raise _error(reason, lines.at(mark.index) if mark else origin) from None
    except yaml.YAMLError:
        raise _error("a character that YAML forbids", origin) from None
    return Given(builder.root, origin)


def _error(reason: str, place: Origin) -> SourceError:
    if "escape" in reason or "hex" in reason:
        reason += ": write \\\\ for one backslash, or use single quotes"
    return SourceError(f"not valid YAML: {reason}", place.line, place.column)


class _Open:
    """A list or table that is being filled."""

    def __init__(self, value: list[Given] | dict[str, Given], event: Any, before: int) -> None:
        self.value = value
        self.event = event
        self.before = before
        self.key: str | None = None
        self.place: Origin | None = None


class _Builder:
    """Builds values from events, with its own stack."""

    def __init__(self, lines: Lines, most: int) -> None:
        self.root: Any = {}
        self._lines = lines
        self._most = most
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._refused("more than one document", event)
        elif isinstance(event, yaml.ScalarEvent):
            self._finish(self._scalar(event), 1, event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            done = self._open.pop()
            self._finish(done.value, self._count - done.before + 1, done.event)

    def _place(self, event: Any) -> Origin:
        return self._lines.at(event.start_mark.index)

    def _refused(self, reason: str, event: Any) -> SourceError:
        return _error(reason, self._place(event))

    def _begin(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            raise self._refused("tags are not supported", event)
        if len(self._open) >= DEPTH:
            raise self._refused(TOO_DEEP, event)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            raise self._refused("a list or table as a key", event)
        value: list[Given] | dict[str, Given] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._open.append(_Open(value, event, self._count))

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._refused("an alias (*) of nothing; quote the text if none is meant", event)
        value, size = self._anchors[event.anchor]
        self._finish(value, size, event)

    def _finish(self, value: Any, size: int, event: Any) -> None:
        """Put a value into what is being filled. ``size`` is the number of values in it, ``event`` what begins it."""
        alias = isinstance(event, yaml.AliasEvent)
        self._count += size if alias else 1
        if self._count > self._most:
            raise self._refused("too many values", event)
        if alias:
            value = _copied(value)
        elif event.anchor is not None:
            self._anchors[event.anchor] = (value, size)
        if not self._open:
            self.root = {} if value is None else value
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(Given(value, self._place(event)))
        elif top.key is None:
            top.place = self._place(event)
            top.key = self._key(value, top.value, event)
        else:
            top.value[top.key] = Given(value, top.place or self._lines.origin)
            top.key = None

    def _key(self, value: Any, table: dict[str, Given], event: Any) -> str:
        if isinstance(event, yaml.ScalarEvent):
            value = event.value
        if not isinstance(value, str):
            raise self._refused("a key that is no text", event)
        if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.style in _PLAIN:
            raise self._refused("merge keys (<<) are not supported", event)
        if value in table:
            raise self._refused(f"a key is given twice, first in line {table[value].origin.line}", event)
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag == "tag:yaml.org,2002:str" or (event.tag is None and event.style not in _PLAIN):
            return event.value
        if event.tag not in (None, "!"):
            raise self._refused("tags are not supported", event)
        text: str = event.value
        if not text and event.anchor is not None:
            raise self._refused("an anchor (&) of nothing; quote the text if none is meant", event)
        if text in _NULL:
            return None
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: Given(_copied(item.value), item.origin) for key, item in value.items()}
    if isinstance(value, list):
        return [Given(_copied(item.value), item.origin) for item in value]
    return value
