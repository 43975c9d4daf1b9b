"""Reads a text as the ClearML client reads a vault: as the parser vendored in its SDK 2.1.12 does (clearml.md 7.3).

That parser is pyhocon of before 0.3.60 on pyparsing. Where it differs from the specification the client's reading is
the one that happens; where it refuses, the client loses the whole vault, and so does this one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from .delayed import ROOT, Concatenation, Delayed, Layers, Part, Substitution
from .lexer import LONGEST_NUMBER
from .merge import join, kind_of, put
from .parser import Allowance
from .values import HoconError, Source, Value

WORK: Final = 200
"""Values that the client goes through to join, for each of ``Limits.pieces``: 50,000 take about a second."""
BESIDE: Final = 4
"""Values side by side, for each of ``Limits.pieces``: these cost the client little more than their text."""
DEEPEST: Final = 40
"""Brackets within each other. The client's limit depends on how deep it is itself; it is never below this."""
SUFFIX: Final = ": the ClearML client cannot read this"

_comment = r"(?:\#|//)[^\n\r]*+"
_blank = re.compile(rf"(?:[ \n\r]|{_comment})*+").match
_separators = re.compile(rf"(?:[ \n\r,]|{_comment})*+").match
_space = re.compile(r" *+").match
_comments = re.compile(rf"(?: *+[\n\r,]*+ *+{_comment})*+ *+").match
"""Comments, with what separates them: the client takes these for part of a value."""
_commas = re.compile(r"[\n\r,](?:[ \n\r,])*+").match
_include = re.compile(r'include(?![\w$]) *+(?:"|(?:url|file|required)(?![\w$]))', re.IGNORECASE | re.ASCII).match
_NUMBER = r"[+-]?(\d*\.\d+|\d+(\.\d+)?)([eE][+\-]?\d+)?"
_number = re.compile(rf"{_NUMBER}(?=$|[ \t]*([\$\}}\],#\n\r]|//))").match
_key = re.compile(r'"(?:[^"\\\n\r]|\\.)*+"|[A-Za-z0-9À-ÖØ-öø-ÿ._\- /]++').match
_keyword = re.compile(r"(true|false|null)(?![\w$])", re.IGNORECASE | re.ASCII).match
_triple = re.compile(r'"""(?:[^"]|"(?!""))*+"""("*)').match
_quoted = re.compile(r'"((?:[^"\\\n]|\\.)*+)"( *+)').match
_unquoted = re.compile(r'(?:[^^`+?!@*&"\[\{\s\]\}#,=\$\\]|\\.)++ *+').match
_substitution = re.compile(r"\$\{(\??)([^}]+)\}( *+)").match
_WORDS = r"[A-Za-z_][\w\-./:]*+(?: ++[A-Za-z_][\w\-./:]*+)*+"
_SIMPLE = rf'(?:"([^"\\\n]*+)"|(-?+\d{{1,18}}+)|(-?+\d{{1,15}}+\.\d{{1,15}}+)|({_WORDS}))'
_NAMES = r"[A-Za-z_][\w\-]*+(?:\.[A-Za-z_][\w\-]*+)*+"
_simple_field = re.compile(
    rf'(?:[ \n\r,]|{_comment})*+(?:({_NAMES})|"([A-Za-z_][\w\- ]*+)") *+[=:]'
    rf" *+{_SIMPLE}(?: *+(?=[\n\r,}}])|\Z)",
    re.ASCII,
).match
"""A field as nearly all are, with what is before it: a path of names or a quoted name, then the groups of a simple
value. It saves two thirds of the time; what is not as simple, or only looks so, is read step by step."""
_simple_item = re.compile(rf" *+{_SIMPLE} *+(?=[\n\r,\]])", re.ASCII).match
_maybe_keyword = re.compile(r"(?:true|false|null|include)(?![\w$])", re.IGNORECASE | re.ASCII).search
_escape = re.compile(r'\\([\\nrt=#!"])')
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_elements = re.compile(r'"[^"]+"|[^$}\[\]:=+#`^?!@*&.]+').findall
_special = re.compile(r"[$}\[\]:=+#`^?!@*&.]").search
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


class ClientParser:
    """Reads one text; the counterpart of ``parser.Parser``."""

    def __init__(self, source: Source, allowance: Allowance) -> None:
        self.source = source
        self.allowance = allowance
        self.depth = 0
        self.delayed = False
        self._root = 0
        """The depth of the root."""
        self._own = ""
        """The key of the root whose value is being read."""
        self._within: set[str] = set()
        """Keys of the root that something deep within their own value names."""
        self._objects: Counter[str] = Counter()
        """By key of the root: how many objects were joined there."""
        self._sizes: Counter[str] = Counter()
        """By key of the root: how many values were read there."""
        self._work = allowance.limits.pieces * WORK

    def parse(self) -> dict[str, Value]:
        """The object that the text is.

        :raises HoconError: for what the client does not read, or reads as a list.
        """
        text = self.source.text
        start = self._past(_blank, 0)
        if text.startswith("{", start):
            self._root = 1
            fields, end = self._object(start)
        else:
            fields, end = self._fields(start)
        end = self._past(_separators, end)
        if end < len(text):
            raise self._error("expected a key, = or : here", end)
        return fields

    def _error(self, message: str, offset: int) -> HoconError:
        return self.source.error(message + SUFFIX, offset)

    def _past(self, match: Any, pos: int) -> int:
        return int(match(self.source.text, pos).end())

    def _enter(self, offset: int) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._error("nested too deeply", offset)

    def _object(self, opened: int) -> tuple[dict[str, Value], int]:
        self._enter(opened)
        fields, end = self._fields(opened + 1)
        end = self._past(_separators, end)
        if not self.source.text.startswith("}", end):
            raise self._error("expected a key or a closing brace", end)
        self.depth -= 1
        return fields, end + 1

    def _fields(self, pos: int) -> tuple[dict[str, Value], int]:
        """Fields as far as they go; commas and newlines between them mean nothing."""
        fields: dict[str, Value] = {}
        text = self.source.text
        while True:
            match = _simple_field(text, pos)
            if match is not None and self._put_simple(fields, match):
                pos = match.end()
                continue
            pos = self._past(_separators, pos)
            if _include(text, pos):
                raise self._error("includes would read the client's own files", pos)
            key = _key(text, pos)
            if key is None:
                return fields, pos
            pos = self._field(fields, key[0].strip(), pos, self._past(_blank, key.end()))
            self.allowance.take_values(self.source, 1, key.start())

    def _put_simple(self, fields: dict[str, Value], match: re.Match[str]) -> bool:
        """Put a field that ``_simple_field`` found; False where it must be read step by step."""
        start = match.start(1) if match[1] is not None else match.start(2) - 1
        path = tuple(match[1].split(".")) if match[1] is not None else (match[2],)
        value = self._simple(match.groups()[2:], start)
        if value is None or len(path) > self.allowance.limits.depth:
            return False
        key = path[0]
        if key not in fields and len(path) == 1:
            fields[key] = value
        else:
            if self.depth == self._root:
                self._sizes[key] += 1
                self._check_parts(fields, path, start)
                self._check_override(fields.get(key), value, key, start)
            self._put(fields, path, value, start)
        self.allowance.take_values(self.source, 1, start)
        return True

    def _simple(self, groups: Sequence[str | None], offset: int) -> Value | None:
        """The value of the groups of ``_SIMPLE``; None for words that may be more than text."""
        quoted, integer, decimal, words = groups
        if quoted is not None:
            return Value(quoted, self.source, offset)
        if words is not None:
            return None if _maybe_keyword(words) else Value(words, self.source, offset, words)
        number = int(integer) if integer is not None else float(decimal or 0)
        return Value(number, self.source, offset, str(number))

    def _field(self, fields: dict[str, Value], key: str, start: int, pos: int) -> int:
        """What follows a key. Says where it ends."""
        text = self.source.text
        path = path_of(key)
        if not path or "" in path:
            raise self._error("an empty key", start)
        if len(path) > self.allowance.limits.depth:
            raise self._error("nested too deeply", start)
        left = self.allowance.values
        if self.depth == self._root:
            self._own = path[0]
        operator = "+=" if text.startswith("+=", pos) else text[pos : pos + 1]
        if operator == "{":
            content, end = self._object(pos)
            value = Value(content, self.source, start)
        elif operator in ("=", ":", "+="):
            value, end = self._value(self._past(_blank, pos + len(operator)), start)
        else:
            raise self._error("expected = or : or { after the key", pos)
        added = operator == "+=" and isinstance(value.value, list | str)
        if added:
            self._check_added(fields, path, value, start)
        if added:
            value = self._added(value, path, start)
        if self.depth == self._root:
            self._check_parts(fields, path, start)
            self._sizes[path[0]] += left - self.allowance.values + 1
            if len(path) == 1 and path[0] in fields and isinstance(value.value, dict):
                self._objects[path[0]] += 1
                self._check_pieces(self._objects[path[0]], self._sizes[path[0]], start)
        if self.depth == self._root and not isinstance(value.value, dict):
            self._check_override(fields.get(path[0]), value, path[0], start)
        self._put(fields, path, value, start)
        return end

    def _added(self, value: Value, path: tuple[str, ...], start: int) -> Value:
        """``+=``: joins lists, and strings with a blank, with what the key has *from the root*."""
        self.delayed = True
        content = value.value
        new = Value(" " + content, self.source, start) if isinstance(content, str) else value
        return value.replaced(Concatenation([Substitution(path, True, ROOT, self.source, start), new]))

    def _check_added(self, fields: dict[str, Value], path: tuple[str, ...], new: Value, start: int) -> None:
        """``+=`` at the root, where it finds itself: not on another kind of value, null or a substitution, not twice on
        nothing; by a dotted key on nothing at all, which for the client are empty values, 0 and false, too. Within an
        object, where it finds what the root has: not on a substitution, which the client looks up all the same.
        """
        old: Value | None = Value(fields, self.source, start)
        for key in path:
            old = old.value.get(key) if old is not None and isinstance(old.value, dict) else None
        if self.depth > self._root:
            self._name_within(path[0])
            fine = old is None or not isinstance(old.value, Delayed)
        elif old is None:
            fine = len(path) == 1
        else:
            layers = old.value.items if isinstance(old.value, Layers) else [old]
            bottom, top = layers[0], layers[-1]
            fine = kind_of(bottom) is kind_of(new) and not isinstance(bottom.value, Delayed | None)
            if top is not bottom:
                first = top.value.parts[0] if isinstance(top.value, Concatenation) else None
                fine = fine and isinstance(first, Substitution) and first.path == path
            elif len(path) > 1:
                fine = fine and bool(old.value)
        if not fine:
            raise self._error("+= here", start)

    def _name_within(self, key: str) -> None:
        """Something within an object or a list looks for a key of the root."""
        if key == self._own:
            self._within.add(key)

    def _check_parts(self, fields: dict[str, Value], path: tuple[str, ...], start: int) -> None:
        """A key of the root that is given again, when it has named itself deep within: the client puts the value before
        into each of these, whatever it is.
        """
        old = fields.get(path[0])
        joins = len(path) > 1 and old is not None and isinstance(old.value, dict)
        if path[0] in self._within and old is not None and not joins:
            raise self._error("a key that is given in parts and named within one of them", start)

    def _check_pieces(self, count: int, size: int, start: int) -> None:
        """One more value on a key that has many. ``size``: of what the client goes through for it."""
        self._work -= size
        if count > self.allowance.limits.pieces or self._work < 0:
            raise self.source.error("too many pieces for one key: clients would need minutes to read this", start)

    def _check_override(self, old: Value | None, new: Value, key: str, start: int) -> None:
        """A key of the root whose value refers to its own earlier one: the client undoes whatever comes after it."""
        if old is not None and isinstance(old.value, Layers) and _refers(old, key) and not _refers(new, key):
            raise self._error("a value after one that refers to itself", start)

    def _put(self, fields: dict[str, Value], path: tuple[str, ...], value: Value, start: int) -> None:
        for key in path[:-1]:
            inner = fields.get(key)
            if inner is None or not isinstance(inner.value, dict):
                if inner is not None and _refers(inner, path[0]):
                    raise self._error("an object after a value that refers to itself", start)
                inner = fields[key] = Value({}, self.source, start)
            fields = inner.value
        old = fields.get(path[-1])
        joins = old is None or old.value is None or isinstance(old.value, dict | list | Delayed)
        if isinstance(value.value, dict) and not joins:
            raise self._error("an object after another value of its key", start)
        if old is not None and isinstance(old.value, dict) and isinstance(value.value, Concatenation):
            value.value.extends = bool(value.value.substitutions()[0].own)  # not where += made it
            if value.value.extends and _waits(old):
                raise self._error("a substitution after an object that holds one ends every client", start)
        if isinstance(value.value, dict) and old is not None and isinstance(old.value, Delayed):
            top = old.value.items[-1] if isinstance(old.value, Layers) else old
            if isinstance(top.value, Concatenation):
                top.value.parts.append(value)  # the client takes it for part of the text before
                return
        elif isinstance(value.value, dict) and old is not None and not isinstance(old.value, dict):
            fields[path[-1]] = value  # no trace is left of what it replaces: it merges with any object before
            return
        put(fields, path[-1], value)
        layers = fields[path[-1]].value
        if isinstance(layers, Layers):
            self._check_pieces(len(layers.items), len(layers.items), start)

    def _value(self, pos: int, start: int) -> tuple[Value, int]:
        """Values side by side. White space belongs to the string or substitution before it; after others it is lost."""
        text = self.source.text
        parts: list[Part] = []
        while True:
            pos = self._past(_comments, pos)
            part, end = self._part(pos)
            if part is None:
                if text.startswith("\\\n", pos) or text.startswith("\\\r", pos):
                    pos = self._past(_commas, pos + 1)
                    continue
                break
            parts.append(part)
            if len(parts) > BESIDE * self.allowance.limits.pieces:
                raise self.source.error("too many values side by side for one key: write one string", start)
            spaced = not text.startswith('"""', pos)  # after which the client loses white space
            pos = end
            if spaced and (isinstance(part, Substitution) or isinstance(part.value, str)):
                after = self._past(_space, pos)
                if after > pos:
                    parts.append(text[pos:after])
        if parts and isinstance(parts[-1], str):
            parts.pop()
        if any(isinstance(part, Substitution) for part in parts):
            self.delayed = True
            return Value(Concatenation(parts), self.source, start), pos
        return self._joined([part for part in parts if not isinstance(part, Substitution)], start), pos

    def _joined(self, parts: list[Value | str], start: int) -> Value:
        at = Value("", self.source, start)
        values = [part for part in parts if isinstance(part, Value)]
        if len({kind_of(value) for value in values}) > 1:
            raise self._error("objects, lists and strings side by side", start)
        if len(values) > 1 and any(value.value is None for value in values):
            raise self._error("null beside another value", start)
        return join(parts, at) if values else at

    def _part(self, pos: int) -> tuple[Value | Substitution | None, int]:
        text, source = self.source.text, self.source
        first = text[pos : pos + 1]
        if first == "{":
            fields, end = self._object(pos)
            return Value(fields, source, pos), end
        if first == "[":
            items, end = self._items(pos)
            return Value(items, source, pos), end
        if first == "$":
            match = _substitution(text, pos)
            if match is None:
                raise self._error("a $ that begins no substitution", pos)
            path = path_of(match[2])
            if not path:
                raise self._error("an empty substitution", pos)
            if len(path) == 1 and self.depth > self._root:
                self._name_within(path[0])
            return Substitution(path, bool(match[1]), ROOT, source, pos, self._own), match.start(3)
        if first == '"':
            return self._quoted(pos)
        if _include(text, pos):
            raise self._error("includes would read the client's own files", pos)
        return self._word(pos)

    def _quoted(self, pos: int) -> tuple[Value, int]:
        text = self.source.text
        if match := _triple(text, pos):
            return Value(match[0][3:-3], self.source, pos), match.end()
        if match := _quoted(text, pos):
            return Value(_unescaped(match[1]), self.source, pos), match.start(2)
        raise self._error("a string that does not end on its line", pos)

    def _word(self, pos: int) -> tuple[Value | None, int]:
        text = self.source.text
        if match := _number(text, pos):
            number = _numeric(match[0])
            return Value(number, self.source, pos, str(number)), match.end()
        if match := _keyword(text, pos):
            constant = _CONSTANTS[match[0].lower()]
            return Value(constant, self.source, pos, "" if constant is None else str(constant)), match.end()
        if match := _unquoted(text, pos):
            word = match[0].rstrip(" ")
            content = _unescaped(word)
            return Value(content, self.source, pos, content), pos + len(word)
        return None, pos

    def _items(self, opened: int) -> tuple[list[Value], int]:
        """Items; empty strings among them vanish."""
        self._enter(opened)
        text = self.source.text
        items: list[Value] = []
        pos = opened + 1
        while True:
            match = _simple_item(text, pos)
            value = self._simple(match.groups(), _begin(match)) if match is not None else None
            if match is not None and value is not None:
                pos = match.end()
            else:
                pos = self._past(_space, pos)
                value, pos = self._value(pos, pos)
            if value.value != "":
                items.append(value)
            pos = self._past(_space, pos)
            separator = _commas(text, pos)
            if separator is None:
                break
            pos = separator.end()
        if not text.startswith("]", pos):
            raise self._error("expected a comma or a closing bracket", pos)
        self.depth -= 1
        self.allowance.take_values(self.source, len(items), opened)
        return items, pos + 1


def _begin(match: re.Match[str]) -> int:
    """Where the value of ``_simple_item`` begins."""
    return match.start(1) - 1 if match[1] is not None else match.start(match.lastindex or 0)


def path_of(key: str) -> tuple[str, ...]:
    """The elements of a key. Those with dots and other signs keep their quotation marks; nothing is unescaped."""
    return tuple(item if _special(item) else item.strip('"') for item in _elements(key))


def _refers(value: Value, key: str) -> bool:
    """Whether a value, or the newest of its layers, has a substitution that begins with a key."""
    top = value.value.items[-1] if isinstance(value.value, Layers) else value
    return isinstance(top.value, Concatenation) and any(part.path[0] == key for part in top.value.substitutions())


def _waits(value: Value) -> bool:
    """Whether an object holds a substitution, in objects only. The client merges that object twice with itself, and the
    value that waits there then overrides itself: looking through what it has overridden never ends.
    """
    if isinstance(value.value, dict):
        return any(map(_waits, value.value.values()))
    return isinstance(value.value, Delayed)


def _unescaped(text: str) -> str:
    return _escape.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


def _numeric(text: str) -> int | float:
    """As Python reads it; one of very many digits as a float, which the client takes for text where Python refuses."""
    try:
        return int(text, 10) if len(text) <= LONGEST_NUMBER else float(text)
    except ValueError:
        return float(text)
