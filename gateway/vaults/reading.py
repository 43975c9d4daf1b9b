"""A vault's text as its clients read it: by the rules of their own parser, with their variables left as written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.hocon import Limits, Value, parse
from gateway.hocon.client import path_of

OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Around the name of a client's variable within a string. Noncharacters (Unicode 23.7), which no vault may hold."""
LIMITS: Final = Limits(expansion=512 * 1024)
"""As many values by substitutions as a text may hold of its own."""
variable: Final = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}")
"""A client's variable within a string that was read."""


class Readings(NamedTuple):
    """What a text comes to. Both are the same object where nothing depends on variables."""

    given: Value
    """Where the client has every variable that is named; they stand between ``OPEN`` and ``CLOSE``."""
    missing: Value
    """Where it has none of those that may be missing (``${?X}``): whatever they would hide is to be seen."""


def readings(text: str) -> Readings:
    """Read a text for both cases.

    :raises HoconError: where the client loses the vault in either case.
    """
    known = variables(text)
    given = parse(text, dialect="pyhocon", limits=LIMITS, environment=known)
    if not known:
        return Readings(given, given)
    return Readings(given, parse(text, dialect="pyhocon", limits=LIMITS, environment=known, optional={}))


def read(text: str, environment: Mapping[str, str] | None = None, *, name: str = "") -> Value:
    """Read a text with these variables; None: with every variable as it is written. ``name`` is for positions.

    :raises HoconError: where the client loses the vault.
    """
    known = variables(text) if environment is None else environment
    return parse(text, name=name, dialect="pyhocon", limits=LIMITS, environment=known)


def variables(text: str) -> Mapping[str, str]:
    """All variables that a text may name: each as it is written, between ``OPEN`` and ``CLOSE``."""
    optional: dict[str, str] = {}
    required: dict[str, str] = {}
    for piece in text.split("}")[:-1]:
        _, begun, name = piece.rpartition("${")
        if begun:
            mark = "?" if name.startswith("?") else ""
            path = ".".join(path_of(name.removeprefix("?")))
            (optional if mark else required)[path] = f"{OPEN}{mark}{path}{CLOSE}"
    return {**optional, **required}


def needed(value: Value) -> Iterator[tuple[str, Value]]:
    """Variables without which the client loses the vault (``${X}``), each with a value that it is in."""
    content = value.value
    if isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from needed(item)
    elif isinstance(content, str) and OPEN in content:
        yield from ((name, value) for name in variable.findall(content) if not name.startswith("?"))


def holds_variable(text: str) -> bool:
    """Whether a string that was read has a client's variable in it."""
    return OPEN in text


def shown(text: str) -> str:
    """A string that was read, with its variables as ``${X}``."""
    return variable.sub(r"${\1}", text) if OPEN in text else text
