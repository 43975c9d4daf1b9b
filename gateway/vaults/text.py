"""Checks and converts the text of a vault when it is written, so that reading it later needs neither.

What would cost a client the vault, its section or its start is refused; what it reads otherwise than the author may
expect is a remark (clearml.md 7.2, 7.3).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, ParamSpec, TypeVar

from gateway.hocon import HoconError, Value, plain

from .conversion import converted, same
from .problems import Remark, UnusableText
from .reading import CLOSE, LIMITS, OPEN, Readings, holds_variable, readings
from .remarks import IS_YAML, looks_like_yaml, remarks_on

P = ParamSpec("P")
T = TypeVar("T")

FORMATS: Final = ("hocon", "json", "yaml")
SECTIONS: Final = ("sdk", "agent", "api", "environment", "files")
"""What a client knows; one of these that is no object replaces its whole section."""
METHODS: Final = ("GET", "POST", "PUT")
"""Of ``api.http.default_method``; with any other ``Session()`` itself fails."""
MOST_REMARKS: Final = 20

_THREAD: Final = ThreadPoolExecutor(1, "vault-texts")
"""One for all texts: whoever writes many large ones waits for himself, and the event loop for nobody."""
_unusable = re.compile(f"[\0\ud800-\udfff{OPEN}{CLOSE}]").search
_section = re.compile(r"\s*\[\[?[A-Za-z_][\w.\- ]*\]").match
_needs_quotes = re.compile(r"[?@=*!&+^`]").match


class Prepared(NamedTuple):
    """A text that may be delivered."""

    delivered: str
    """What clients get: HOCON as it was written; JSON and YAML as JSON that their parser reads as the same tree."""
    warnings: tuple[Remark, ...] = ()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads texts, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: function(*args, **kwargs))


async def prepare_in_thread(text: str, format: str, *, shared: bool) -> Prepared:  # noqa: A002 - the API's name
    """``prepare``, for callers on the event loop. Raises UnusableText."""
    return await in_thread(prepare, text, format, shared=shared)


def prepare(text: str, format: str, *, shared: bool) -> Prepared:  # noqa: A002 - the API's name
    """Check a text, and convert it to what clients read. An empty one is fine and means nothing.

    Takes up to seconds for a large text: callers on the event loop use ``prepare_in_thread``.

    :param format: ``hocon``, ``json`` or ``yaml``.
    :param shared: whether others than the author get it (scopes organization and group).
    :raises UnusableText: with line and column where there are any; never quoting the text.
    """
    if format not in FORMATS:
        raise UnusableText(f"expected one of the formats {', '.join(FORMATS)}")
    text = text.removeprefix("\ufeff")
    _check_characters(text)
    if not text.strip():
        return Prepared("")
    try:
        return _prepared(text, format, shared=shared)
    except UnusableText as error:
        if format != "hocon" or not looks_like_yaml(text):
            raise
        raise UnusableText(f"{error.message}; {IS_YAML}", error.line, error.column) from None


def _prepared(text: str, format: str, *, shared: bool) -> Prepared:  # noqa: A002 - the API's name
    if format == "hocon":
        read = _read(text)
        remarks = list(remarks_on(text, read, MOST_REMARKS))
        delivered = text
    else:
        delivered, meant, remarks = converted(text, format)
        read = _read(delivered)
        if not same(meant, plain(read.given)):
            raise UnusableText("the ClearML client would read this otherwise")  # what no rule of conversion foresaw
    for reading in dict.fromkeys(read):
        _check_tree(reading, remarks, shared=shared)
    return Prepared(delivered, tuple(dict.fromkeys(remarks))[:MOST_REMARKS])


def _check_characters(text: str) -> None:
    if len(text) > LIMITS.size or len(text.encode("utf-8", "surrogatepass")) > LIMITS.size:
        raise UnusableText(f"more than {LIMITS.size} bytes of text")
    if found := _unusable(text):
        before = text[: found.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise UnusableText(f"U+{ord(found[0]):04X} is no character of a text", line, column)


def _read(text: str) -> Readings:
    try:
        return readings(text)
    except HoconError as error:
        _, line, column = error.position
        raise UnusableText(_advice(text, line, column) or error.message, line, column) from None


def _advice(text: str, line: int, column: int) -> str:
    """What people usually meant where the client's reading ends."""
    lines = text.split("\n")[:line]
    here = lines[-1]
    read = "\n".join([*lines[:-1], here[: column - 1]]).rstrip()
    if read.rpartition("\n")[2].lstrip().startswith("- "):
        return "a list is written [a, b], not with dashes: the ClearML client cannot read this"
    if _section(here):
        return "a section is written name { ... }, not [name]: the ClearML client cannot read this"
    if column == 1 and here.startswith("["):
        return "expected keys and values at the top level, not a list"
    if sign := _needs_quotes(here, column - 1):
        return f"{sign[0]} cannot stand in a value without quotes: the ClearML client cannot read this"
    return ""


def _check_tree(root: Value, remarks: list[Remark], *, shared: bool) -> None:
    """Refuse what harms clients beyond this vault, however it is spelled."""
    for section in SECTIONS:
        value = _at(root, section)
        if value is not None and not isinstance(value.value, dict):
            raise _refused(value, f"{section} must be an object: this would replace the client's whole section")
    credentials = _at(root, "api", "credentials")
    if shared and credentials is not None:
        raise _refused(credentials, "api.credentials must not be given to others")
    method = _at(root, "api", "http", "default_method")
    if method is not None and method.value:
        word = str(method.value).strip()
        if isinstance(method.value, str) and holds_variable(word):
            remarks.append(Remark("clients end where this variable is not get, post or put", *method.position[1:]))
        elif word.upper() not in METHODS:
            raise _refused(method, "api.http.default_method must be get, post or put: any other ends every client")
    if (env := _at(root, "env")) is not None:
        remarks.append(Remark("the ClearML client always overwrites env", *env.position[1:]))


def _at(root: Value, *path: str) -> Value | None:
    value: Value | None = root
    for key in path:
        value = value.value.get(key) if value is not None and isinstance(value.value, dict) else None
    return value


def _refused(value: Value, message: str) -> UnusableText:
    _, line, column = value.position
    return UnusableText(message, line, column)
