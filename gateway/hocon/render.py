"""Values to text, always the same for the same values; ``parse`` reads it back as they were."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from .delayed import Append, Concatenation, Layers, Substitution
from .merge import written
from .values import Unresolved, Value

Format = Literal["hocon", "json"]
_BARE: Final = re.compile(r"(?!include\Z)[A-Za-z_][A-Za-z0-9_\-]*").fullmatch
"""A key that needs no quotes."""


def render(value: Any, format: Format = "hocon", indent: int = 2) -> str:  # noqa: A002 - the word people look for
    """The text of a value, or of a plain tree. The root of HOCON has no braces.

    Numbers are written as they were. Substitutions that are not resolved stay what they are, in HOCON.

    :param indent: blanks for each level.
    :raises ValueError: for what the format cannot hold, such as a substitution in JSON.
    """
    writer = _Writer(format, " " * indent)
    root = _content(value)
    if format == "hocon" and isinstance(root, dict):
        return "".join(writer.fields(root, ""))
    return "".join(writer.value(value, "")) + "\n"


def quoted(text: str) -> str:
    """A quoted string; all but quotation marks, backslashes and control characters as they are."""
    return json.dumps(text, ensure_ascii=False)


def _content(value: Any) -> Any:
    return value.value if isinstance(value, Value) else value


class _Writer:
    def __init__(self, format: Format, step: str) -> None:  # noqa: A002 - as above
        self._json = format == "json"
        self._step = step

    def value(self, value: Any, margin: str) -> Iterator[str]:
        """A value, its first line without margin."""
        content = _content(value)
        inner = margin + self._step
        if isinstance(content, Unresolved):
            yield from self._parts(value, margin)
        elif isinstance(content, dict) and content:
            yield "{\n"
            yield from self.fields(content, inner)
            yield margin + "}"
        elif isinstance(content, list) and content:
            for number, item in enumerate(content):
                yield ",\n" + inner if number else "[\n" + inner
                yield from self.value(item, inner)
            yield f"\n{margin}]"
        else:
            yield self._scalar(value, content)

    def fields(self, fields: dict[str, Any], margin: str) -> Iterator[str]:
        """The fields of an object, a line each."""
        last = len(fields) - 1
        for number, (key, value) in enumerate(fields.items()):
            name = key if not self._json and _BARE(key) else quoted(key)
            for layer in self._layers(value):
                yield margin + name + self._separator(layer)
                item = layer.value.items[0] if isinstance(_content(layer), Append) else layer
                yield from self.value(item, margin)
                yield ",\n" if self._json and number < last else "\n"

    def _layers(self, value: Any) -> Iterator[Any]:
        """What to write for one key: every layer of an unresolved value, an item of each ``+=`` at a time."""
        content = _content(value)
        if isinstance(content, Unresolved) and self._json:
            raise value.error("JSON cannot hold a substitution")
        layers = content.items if isinstance(content, Layers) else [value]
        for layer in layers:
            if isinstance(_content(layer), Append):
                yield from (layer.replaced(Append([item])) for item in layer.value.items)
            else:
                yield layer

    def _separator(self, layer: Any) -> str:
        content = _content(layer)
        if self._json:
            return ": "
        if isinstance(content, Append):
            return " += "
        return " " if isinstance(content, dict) and content else " = "

    def _parts(self, value: Value, margin: str) -> Iterator[str]:
        """A concatenation: the strings between two other parts as one; a number alone stays one."""
        if self._json or not isinstance(value.value, Concatenation):
            raise value.error("only fields can hold this substitution")
        strings: list[Value | str] = []
        for part in value.value.parts:
            scalar = not isinstance(part, str | Substitution) and not isinstance(part.value, dict | list)
            if not isinstance(part, Substitution) and (scalar or (isinstance(part, str) and strings)):
                strings.append(part)
            else:
                yield from self._strings(strings)
                yield part if isinstance(part, str) else self._part(part, margin)
        yield from self._strings(strings)

    def _strings(self, strings: list[Value | str]) -> Iterator[str]:
        if len(strings) == 1 and isinstance(strings[0], Value):
            yield self._scalar(strings[0], strings[0].value)
        elif strings:
            yield quoted("".join(part if isinstance(part, str) else written(part) for part in strings))
        strings.clear()

    def _part(self, part: Value | Substitution, margin: str) -> str:
        if isinstance(part, Value):
            return "".join(self.value(part, margin))
        if len(part.roots) > 1:
            raise part.error("a substitution of an included text has no text of its own")
        path = ".".join(key if _BARE(key) else quoted(key) for key in part.path)
        return f"${{{'?' if part.optional else ''}{path}}}"

    def _scalar(self, value: Any, content: Any) -> str:
        if isinstance(content, dict | list):
            return "{}" if isinstance(content, dict) else "[]"
        if isinstance(content, float) and not math.isfinite(content):
            return "-1e999" if content < 0 else "1e999"
        if isinstance(content, int | float) and not isinstance(content, bool) and isinstance(value, Value):
            return value.text or str(content)
        return quoted(content) if isinstance(content, str) else json.dumps(content)
