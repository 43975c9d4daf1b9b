"""Text to tree, in one pass. Substitutions stay what they are; ``resolve`` computes them afterwards."""

from __future__ import annotations

import re
from typing import Final

from . import lexer
from .delayed import ROOT, Append, Concatenation, Part, Substitution, Where
from .include import Include, IncludeError
from .merge import join, put, put_all
from .values import Limits, Source, Value

Place = tuple["Place", str] | tuple[()]
"""Where an object is: the place of the one around it, and its key. The root of the text is the empty tuple."""
ROOT_PLACE: Final[Place] = ()
Element = tuple[str, int]
"""One key of a path, and where it stands."""
ONLY_IN_QUOTES: Final = "=:+`^?!@*&\\"
"""Signs that people write without quotes and must not: as in DNs, addresses and filters."""
STOPS: Final = ",}]\n#"
"""What ends a value for sure."""


class Allowance:
    """What is left of the limits; shared by a text and those it includes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size = limits.size
        self.values = limits.values
        self.includes = limits.includes

    def take_text(self, source: Source) -> None:
        """Count a text, before anything reads it."""
        text = source.text
        try:
            self.size -= len(text) if text.isascii() or len(text) > self.size else len(text.encode())
        except UnicodeEncodeError as error:
            raise source.error("half of a surrogate pair is no text", error.start) from None
        if self.size < 0:
            raise source.error(f"more than {self.limits.size} bytes of text", 0)

    def take_include(self, source: Source, offset: int) -> None:
        """Count an include statement, before anything looks for its file."""
        self.includes -= 1
        if self.includes < 0:
            raise source.error(f"more than {self.limits.includes} include statements", offset)

    def take_values(self, source: Source, count: int, offset: int) -> None:
        """Count entries of a container."""
        self.values -= count
        if self.values < 0:
            raise source.error(f"more than {self.limits.values} values", offset)


class Parser:
    """Reads one text. ``delayed`` tells afterwards whether anything waits for substitutions.

    Of an included text ``base`` is the path of the object that includes it, None where that is in a list;
    ``roots`` are the paths below which its substitutions look.
    """

    def __init__(
        self,
        source: Source,
        allowance: Allowance,
        include: Include | None = None,
        roots: tuple[Where, ...] = ROOT,
        base: Where | None = (),
        depth: int = 0,
    ) -> None:
        self.source = source
        self.allowance = allowance
        self.include = include
        self.roots = roots
        self.base = base
        self.depth = depth
        self.delayed = False

    def parse(self) -> dict[str, Value]:
        """The object that the text is, with or without braces.

        :raises HoconError: for text that is not HOCON, is a list, or goes beyond a limit.
        """
        text = self.source.text
        start = self._blank(0)
        if text.startswith("[", start):
            raise self.source.error("expected keys and values at the top level, not a list", start)
        if not text.startswith("{", start):
            return self._fields(0, ROOT_PLACE, -1)[0]
        fields, end = self._fields(start + 1, ROOT_PLACE, start)
        if (end := self._blank(end)) < len(text):
            raise self.source.error("text after the closing brace", end)
        return fields

    def _blank(self, pos: int) -> int:
        match = lexer.blank(self.source.text, pos)
        return match.end() if match else pos

    def _enter(self, offset: int) -> None:
        self.depth += 1
        if self.depth > self.allowance.limits.depth:
            raise self.source.error("nested too deeply", offset)

    def _fields(self, pos: int, place: Place | None, opened: int) -> tuple[dict[str, Value], int]:
        """Fields up to and with the closing brace, or to the end of the text where ``opened`` is -1."""
        source, text, field = self.source, self.source.text, lexer.FIELD
        fields: dict[str, Value] = {}
        most = self.allowance.values
        self._enter(opened)
        while True:
            match = field(text, pos)
            if match is None:
                pos = self._blank(pos)
                if pos == len(text) or text[pos] == "}":
                    break
                pos = self._field(pos, fields, place)
                continue
            kind = match.lastindex
            name = match[1]
            offset = match.start(1)
            if name is None:
                name = match[2]
                offset = match.start(2) - 1
            if kind == lexer.STRING:
                value = Value(match[lexer.STRING], source, offset)
            elif kind is not None and kind < lexer.SUBSTITUTION:
                written = match[kind]
                value = Value(lexer.simple(kind, written), source, offset, written)
            elif kind == lexer.SUBSTITUTION:
                value = self._substituted(match.start(kind), offset)
            else:
                value, pos = self._value(match.end() - 1, offset, (place, name) if place is not None else None)
                put(fields, name, value)
                pos = self._end(lexer.END_OF_FIELD, pos)
                continue
            pos = match.end()
            if name in fields:
                put(fields, name, value)
            else:
                fields[name] = value
                if len(fields) > most:
                    break
        self.allowance.take_values(source, len(fields), max(opened, 0))
        self._leave(pos, opened, "}")
        return fields, pos + 1

    def _leave(self, pos: int, opened: int, bracket: str) -> None:
        self.depth -= 1
        if pos == len(self.source.text) and opened >= 0:
            raise self.source.error(f"no {bracket} closes this bracket", opened)
        if pos < len(self.source.text) and opened < 0:
            raise self.source.error("a closing brace without an opening one", pos)

    def _end(self, end: lexer.Matcher, pos: int) -> int:
        """Past what separates this value from the next."""
        match = end(self.source.text, pos)
        if match is None:
            pos = self._white(pos)
            sign = self.source.text[pos : pos + 1]
            if sign and sign in ONLY_IN_QUOTES:
                message = f"{sign} cannot stand in a value without quotes: write the value in quotes"
                raise self.source.error(message, pos)
            raise self.source.error("expected a comma, a newline or a closing bracket; other signs must be quoted", pos)
        return match.end()

    def _white(self, pos: int) -> int:
        match = lexer.white(self.source.text, pos)
        return match.end() if match else pos

    def _items(self, pos: int, opened: int) -> tuple[list[Value], int]:
        """Items up to and with the closing bracket."""
        source, text, item = self.source, self.source.text, lexer.ITEM
        items: list[Value] = []
        most = self.allowance.values
        self._enter(opened)
        while True:
            match = item(text, pos)
            if match is None:
                pos = self._blank(pos)
                if pos == len(text) or text[pos] == "]":
                    break
                value, pos = self._value(pos, pos, None)
                pos = self._end(lexer.END_OF_ITEM, pos)
            else:
                kind = (match.lastindex or 0) + lexer.STRING - 1
                offset = match.start(kind - lexer.STRING + 1)
                if kind == lexer.STRING:
                    value, pos = Value(match[1], source, offset - 1), match.end()
                elif kind == lexer.SUBSTITUTION:
                    value, pos = self._substituted(offset, offset), match.end()
                elif kind < lexer.OPENER:
                    written = match[kind - lexer.STRING + 1]
                    value, pos = Value(lexer.simple(kind, written), source, offset, written), match.end()
                else:
                    value, pos = self._value(offset, offset, None)
                    pos = self._end(lexer.END_OF_ITEM, pos)
            items.append(value)
            if len(items) > most:
                break
        self.allowance.take_values(source, len(items), opened)
        self._leave(pos, opened, "]")
        return items, pos + 1

    def _value(self, pos: int, offset: int, place: Place | None) -> tuple[Value, int]:
        """A value, which may be several side by side, and where it ends.

        ``offset`` is the place to remember; ``place`` that of an object that begins here, None within lists.
        """
        text = self.source.text
        part, end = self._part(pos, place)
        if part is None:
            raise self.source.error("a value is missing, or holds a sign that must be quoted", pos)
        parts: list[Part] = [part]
        while text[end : end + 1] not in STOPS:  # the empty string, too, is in STOPS
            after = self._white(end)
            part, next_end = self._part(after, place)
            if part is None:
                break
            if after > end:
                parts.append(text[end:after])
            parts.append(part)
            end = next_end
        if len(parts) == 1 and isinstance(parts[0], Value):
            return Value(parts[0].value, self.source, offset, parts[0].text), end
        self.allowance.take_values(self.source, len(parts), offset)
        values = [part for part in parts if not isinstance(part, Substitution)]
        if len(values) < len(parts):
            self.delayed = True
            return Value(Concatenation(parts), self.source, offset), end
        return join(values, Value(None, self.source, offset)), end

    def _part(self, pos: int, place: Place | None) -> tuple[Value | Substitution | None, int]:
        """One part of a value; None where none begins."""
        text = self.source.text
        first = text[pos : pos + 1]
        content: object
        if first == "{":
            content, end = self._fields(pos + 1, place, pos)
            return Value(content, self.source, pos), end
        if first == "[":
            content, end = self._items(pos + 1, pos)
            return Value(content, self.source, pos), end
        if first == '"':
            content, end = lexer.quoted(self.source, pos)
            return Value(content, self.source, pos), end
        if first == "$":
            return self._substitution(pos)
        match = lexer.unquoted(text, pos)
        if match is None:
            return None, pos
        return Value(lexer.scalar(match[0]), self.source, pos, match[0]), match.end()

    def _substituted(self, pos: int, offset: int) -> Value:
        """A value that is one substitution and no more."""
        self.delayed = True
        self.allowance.take_values(self.source, 1, offset)
        return Value(Concatenation([self._substitution(pos)[0]]), self.source, offset)

    def _substitution(self, pos: int) -> tuple[Substitution, int]:
        text = self.source.text
        match = lexer.substitution(text, pos)
        if match is not None and match[2].count(".") < self.allowance.limits.depth:
            path = tuple(match[2].split("."))
            return Substitution(path, bool(match[1]), self.roots, self.source, pos), match.end()
        if not text.startswith("${", pos):
            raise self.source.error("a $ that begins no substitution must be quoted", pos)
        optional = text.startswith("?", pos + 2)
        elements, end = self._path(self._white(pos + 2 + optional))
        if not text.startswith("}", end):
            raise self.source.error("expected the } of a substitution; other signs must be quoted", end)
        keys = tuple(key for key, _ in elements)
        return Substitution(keys, optional, self.roots, self.source, pos), end + 1

    def _path(self, pos: int) -> tuple[list[Element], int]:
        """The elements of a path expression, and where it ends (white space after it belongs to nothing)."""
        source, text = self.source, self.source.text
        path: list[Element] = []
        start, words, gap = pos, [], ""
        while True:
            word, end = self._word(pos)
            if word is not None:
                words += [gap, word]
                pos = self._white(end)
                gap = text[end:pos]
                continue
            dot = text.startswith(".", pos)
            if not words:
                raise source.error("expected a key" if not path and not dot else "an element of the path is empty", pos)
            path.append(("".join(words) + (gap if dot else ""), start))
            if not dot:
                return path, pos
            if len(path) + self.depth > self.allowance.limits.depth:
                raise source.error("nested too deeply", pos)
            pos += 1
            start, words, gap = pos, [], ""
            after = self._white(pos)
            if after > pos:
                gap, pos = text[pos:after], after

    def _word(self, pos: int) -> tuple[str | None, int]:
        """Part of an element of a path."""
        if self.source.text.startswith('"', pos):
            return lexer.quoted(self.source, pos)
        match = lexer.element(self.source.text, pos)
        return (match[0], match.end()) if match else (None, pos)

    def _field(self, pos: int, fields: dict[str, Value], place: Place | None) -> int:
        """A field that is not as simple as most, or an include statement."""
        text = self.source.text
        if text[pos] == ",":
            raise self.source.error("a comma without a field before it", pos)
        if statement := lexer.include(text, pos):
            name, required, end = self._statement(pos, statement.end())
            self._include(name, required, pos, fields, place)
            return self._end(lexer.END_OF_FIELD, end)
        start = pos
        match = lexer.path(text, pos)
        if match is not None:
            path = []
            for key in match[1].split("."):
                path.append((key, pos))
                pos += len(key) + 1
        else:
            path, pos = self._path(pos)
            match = lexer.separator(text, pos)
            if match is None:
                pos = self._blank(pos)
                raise self.source.error("expected = or : or { after the key; other signs must be quoted", pos)
        value, pos = self._path_value(match, path, place)
        if len(path) + self.depth > self.allowance.limits.depth:
            raise self.source.error("nested too deeply", start)
        self._put(fields, path, value)
        return self._end(lexer.END_OF_FIELD, pos)

    def _path_value(self, separator: re.Match[str], path: list[Element], place: Place | None) -> tuple[Value, int]:
        """The value that a path is given, as its last element."""
        pos, offset = separator.end(), path[-1][1]
        self.depth += len(path) - 1
        if separator[separator.re.groups] == "+=":
            self.delayed = True
            self.allowance.take_values(self.source, 1, offset)
            item, end = self._value(pos, pos, None)
            value = Value(Append([item]), self.source, offset)
        else:
            for key, _ in path:
                place = (place, key) if place is not None else None
            value, end = self._value(pos, offset, place)
        self.depth -= len(path) - 1
        return value, end

    def _put(self, fields: dict[str, Value], path: list[Element], value: Value) -> None:
        """Put a value at a path: into the objects that are there, in new ones below."""
        known, last = 0, len(path) - 1
        if not last:
            put(fields, path[0][0], value)
            return
        while known < last and (old := fields.get(path[known][0])) is not None and type(old.value) is dict:
            fields = old.value
            known += 1
        self.allowance.take_values(self.source, last - known, path[0][1])
        for index in range(last - 1, known - 1, -1):
            value = Value({path[index + 1][0]: value}, self.source, path[index][1])
        put(fields, path[known][0], value)

    def _statement(self, start: int, pos: int) -> tuple[str, bool, int]:
        """The name that an include statement gives, whether it is required, and where the statement ends."""
        text, calls = self.source.text, []
        while call := lexer.include_call(text, pos):
            calls.append(call[1])
            pos = call.end()
        if calls not in ([], ["required"], ["file"], ["required", "file"]):
            raise self.source.error("only files can be included", start)
        if not text.startswith('"', pos):
            raise self.source.error("expected the quoted name of a file to include", pos)
        name, pos = lexer.quoted(self.source, pos)
        for _ in calls:
            pos = self._blank(pos)
            if not text.startswith(")", pos):
                raise self.source.error("expected a closing parenthesis", pos)
            pos += 1
        return name, "required" in calls, pos

    def _include(self, name: str, required: bool, start: int, fields: dict[str, Value], place: Place | None) -> None:
        """Put what another file holds."""
        if self.include is None:
            raise self.source.error("includes are not allowed here", start)
        self.allowance.take_include(self.source, start)
        try:
            found = self.include.open(name, required)
        except IncludeError as error:
            raise self.source.error(f"include: {error}", start) from None
        if found is None:
            return
        base = None if self.base is None or place is None else self.base + keys_of(place)
        roots = self.roots if base is None or base in self.roots else (base, *self.roots)
        source = Source(found.text, found.name)
        self.allowance.take_text(source)
        parser = Parser(source, self.allowance, found.include, roots, base, self.depth)
        put_all(fields, parser.parse())
        self.delayed |= parser.delayed


def keys_of(place: Place) -> Where:
    """The keys from the root of the text."""
    keys = []
    while place:
        place, key = place
        keys.append(key)
    return tuple(reversed(keys))
