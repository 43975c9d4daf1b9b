"""YAML as configuration needs it: built from the parser's events, so that nothing is guessed and nothing explodes.

Duplicate keys, tags, merge keys, several documents and deep nesting are errors; aliases count towards a limit. Plain
scalars become null, truth values (``yes`` and ``off`` too, YAML 1.1), decimal numbers or text: ``0755``, ``1:30`` and
dates stay text, where PyYAML's own loaders make numbers and dates of them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

DEPTH: Final = 64
"""Deepest nesting."""
VALUES: Final = 1_000_000
"""Most values, those repeated by aliases counted each time."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INT: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,99})", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})\.\d{1,18}(?:[eE][-+]?\d{1,3})?", re.ASCII)
_PLAIN: Final = (None, "")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


def parse_yaml(text: str) -> Any:
    """The one document of a text; an empty text is an empty table.

    :raises ValueError: saying why and where; never quoting the text.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_QUOTED.sub("text", error.problem or "syntax error") + _at(error.problem_mark)) from None
    except yaml.YAMLError:
        raise ValueError("a character that YAML forbids") from None
    return builder.root


def _at(mark: Any) -> str:
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""


class _Open:
    """A list or table that is being filled."""

    def __init__(self, value: list[Any] | dict[str, Any], anchor: str | None, before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.before = before
        self.key: str | None = None


class _Builder:
    """Builds values from events, with its own stack."""

    def __init__(self) -> None:
        self.root: Any = {}
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise ValueError("more than one document" + _at(event.start_mark))
        elif isinstance(event, yaml.ScalarEvent):
            self._finish(self._scalar(event), event.anchor, 1, event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            done = self._open.pop()
            self._finish(done.value, done.anchor, self._count - done.before + 1, event)

    def _begin(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            raise ValueError("tags are not supported" + _at(event.start_mark))
        if len(self._open) >= DEPTH:
            raise ValueError("nested too deeply" + _at(event.start_mark))
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            raise ValueError("a list or table as a key" + _at(event.start_mark))
        value: list[Any] | dict[str, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._open.append(_Open(value, event.anchor, self._count))

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise ValueError("an alias (*) of nothing; quote the text if none is meant" + _at(event.start_mark))
        value, size = self._anchors[event.anchor]
        self._finish(value, None, size, event)

    def _finish(self, value: Any, anchor: str | None, size: int, event: Any) -> None:
        """Put a finished value into what is being filled; ``size`` is the number of values in it."""
        is_container = isinstance(value, list | dict) and not isinstance(event, yaml.AliasEvent)
        self._count += 1 if is_container else size
        if self._count > VALUES:
            raise ValueError("too many values" + _at(event.start_mark))
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.root = {} if value is None else value
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            top.key = self._key(value, top.value, event)
        else:
            top.value[top.key] = value
            top.key = None

    def _key(self, value: Any, table: dict[str, Any], event: Any) -> str:
        if isinstance(event, yaml.ScalarEvent):
            value = event.value
        if not isinstance(value, str):
            raise ValueError("a key that is no text" + _at(event.start_mark))
        if value == "<<" and event.style in _PLAIN:
            raise ValueError("merge keys (<<) are not supported" + _at(event.start_mark))
        if value in table:
            raise ValueError(f"the key {value} is given twice" + _at(event.start_mark))
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag == "tag:yaml.org,2002:str" or (event.tag is None and event.style not in _PLAIN):
            return event.value
        if event.tag not in (None, "!"):
            raise ValueError("tags are not supported" + _at(event.start_mark))
        text: str = event.value
        if not text and event.anchor is not None:
            raise ValueError("an anchor (&) of nothing; quote the text if none is meant" + _at(event.start_mark))
        if text in _NULL:
            return None
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
