"""Where the ClearML client reads a HOCON text otherwise than the specification has it (clearml.md 7.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from gateway.hocon import HoconError, Value, parse

from .conversion import QUOTED_KEY
from .problems import Remark
from .reading import LIMITS, Readings, needed, variables

_last_duration = re.compile(
    r"[=:]\s*\d+\s*(?:n(?:s|anos?|anoseconds?)|u(?:s)|micros?|microseconds?|m(?:s|o)?|millis?|milliseconds?"
    r"|s|seconds?|minutes?|h|hours?|w|weeks?|d|days?|months?|y|years?)\n?\Z"
).search
_undecoded = re.compile(r"\\(?:u|/|b|f)").search
_variable_name = re.compile(r"[A-Za-z_]\w*", re.ASCII).fullmatch
_indented_below_key = re.compile(
    r"""^(\x20*+)[\w."'-]++\x20*+:[\x20\t]*+(?:\#.*+)?\n(?:[\x20\t]*+\n)*+\1[\x20\t]++(?:-\x20|[\w."'-]++:(?:\s|\Z))""",
    re.MULTILINE,
).search
IS_YAML: Final = "is this YAML? give format: yaml"
FEW_PIECES: Final = 50
"""Values on one key beyond which the client is slow."""
LAST_DURATION: Final = "as the very last value of a text this becomes a time value, elsewhere it is a string"
_SPECIFIED: Final = "the HOCON specification"


def remarks_on(text: str, read: Readings, most: int) -> Iterator[Remark]:
    """What the author of a text that clients can read should know, at most so many remarks."""
    yield from islice(_remarks(text, read), most)


def _remarks(text: str, read: Readings) -> Iterator[Remark]:
    if found := _last_duration(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        yield Remark(LAST_DURATION, line, column)
    if line := looks_like_yaml(text):
        yield Remark(f"the client reads this as one line, not as what is below a key: {IS_YAML}", line, 1)
    yield from _of_variables(read.given)
    try:
        parse(text, dialect="pyhocon", limits=replace(LIMITS, pieces=FEW_PIECES), resolve=False)
    except HoconError as error:
        yield Remark("many pieces for one key: clients take the longer for each more", *error.position[1:])
    yield from _of_keys(read.given)
    try:
        known = variables(text)
        yield from _differences(read.given, parse(text, limits=LIMITS, environment=known))
        if read.missing is not read.given:
            yield from _differences(read.missing, parse(text, limits=LIMITS, environment=known, optional={}))
    except HoconError as error:
        _, line, column = error.position
        yield Remark(f"by {_SPECIFIED} this is an error, though the client reads it: {error.message}", line, column)


def looks_like_yaml(text: str) -> int:
    """The line of the first key that stands alone above indented keys or a dash; 0 where there is none."""
    found = _indented_below_key(text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def _of_variables(given: Value) -> Iterator[Remark]:
    """What a client must have."""
    first: dict[str, Value] = {}
    for name, value in needed(given):
        first.setdefault(name, value)
    for name, value in first.items():
        known = _variable_name(name) is not None
        which, optional = (name, f"${{?{name}}}") if known else ("this variable", "a ? before it")
        yield _at(value, f"clients without {which} lose this whole vault; with {optional} they do not")


def _of_keys(value: Value) -> Iterator[Remark]:
    """Keys that stay in quotes, and what was meant as YAML."""
    content = value.value
    if isinstance(content, dict):
        for key, item in content.items():
            if key.startswith('"'):
                yield _at(item, QUOTED_KEY)
            yield from _of_keys(item)
    elif isinstance(content, list):
        for item in content:
            yield from _of_keys(item)
    elif isinstance(content, str) and value.text is not None and content.startswith("- "):
        yield _at(value, "this is a string, no list; a list is written [a, b]")


def _differences(client: Value, specified: Value) -> Iterator[Remark]:
    """Compare two readings."""
    mine, theirs = client.value, specified.value
    if isinstance(mine, dict) and isinstance(theirs, dict):
        yield from _of_objects(mine, theirs)
    elif isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            yield _at(client, _why_lengths(mine, theirs))
        else:
            for item, other in zip(mine, theirs, strict=True):
                yield from _differences(item, other)
    elif type(mine) is not type(theirs) or mine != theirs:
        yield _at(client, _why(mine, theirs))


def _of_objects(mine: dict[str, Value], theirs: dict[str, Value]) -> Iterator[Remark]:
    unquoted = {key.strip('"'): item for key, item in mine.items()}
    for key, item in unquoted.items():
        if key in theirs:
            yield from _differences(item, theirs[key])
        else:
            yield _at(item, f"by {_SPECIFIED} this key has another name, or is none")
    for key, item in theirs.items():
        if key not in unquoted:
            yield _at(item, "the client gives this key another name, or has none")


def _why(mine: Any, theirs: Any) -> str:
    if isinstance(mine, str) and isinstance(theirs, str):
        if _undecoded(mine):
            return "the client does not decode this escape: write the character itself"
        if "  " in mine and "\t" in theirs:
            return "the client makes blanks of a tab; write \\t in quotes"
        return f"the client reads another string than {_SPECIFIED} has"
    if isinstance(theirs, list):
        return "the client replaces the list by this one value: += takes a list, [x]"
    if isinstance(mine, dict) or isinstance(theirs, dict):
        mine_is, theirs_is = ("joins", "replaces") if isinstance(mine, dict) else ("replaces", "joins")
        return f"the client {mine_is} here what {_SPECIFIED} {theirs_is}"
    if isinstance(mine, list):
        return f"the client reads a list here, where {_SPECIFIED} has none"
    return f"the client reads this as another kind of value than {_SPECIFIED}"


def _why_lengths(mine: list[Value], theirs: list[Value]) -> str:
    if any(item.value == "" for item in theirs):
        return "the client drops empty strings from lists"
    if len(mine) < len(theirs):
        return "the client has another list, without what += adds to: within braces += knows top-level keys only"
    return "the client has another list, with null where ${?...} finds nothing"


def _at(value: Value, message: str) -> Remark:
    _, line, column = value.position
    return Remark(message, line, column)
