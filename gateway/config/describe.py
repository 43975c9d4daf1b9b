"""What can be configured, in words: a tree of every key, made from the models.

The reference page and the JSON Schema are written from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from .difference import RESTART_KEYS
from .schema import Configuration, fields
from .schema.fields import Form, KeyedBy
from .schema.section import Section
from .show import plain


class Kind(StrEnum):
    """How a value is written, in words."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    CHOICE = "one of"
    TLS_VERSION = "TLS version"
    FLAG = "true or false"
    INT = "whole number"
    DURATION = "duration"
    INTERVAL = "duration, `always` or `never`"
    SIZE = "size"
    PATH = "path"
    URL = "URL"
    AUDIT = "`stderr`, `off` or `file:PATH`"
    STORE = "`sqlite` or `sqlite:///PATH`"
    TEXTS = "list of texts"
    PATHS = "list of paths"
    ADDRESSES = "list of addresses"
    NETWORKS = "list of networks"
    ORIGINS = "list of web origins"
    PORTS = "list of ports"
    SUBJECTS = "list of subjects, or of lists of them"
    CONDITIONS = "list of conditions `{key, operator, value}`, or of lists of them"
    MAP = "table of texts"
    MAPS = "table of tables of texts"
    NETWORK_MAP = "table of lists of networks"
    TEXTS_MAP = "table of lists of texts"


_KINDS: Final[tuple[tuple[Any, Kind], ...]] = (
    (fields.Text, Kind.TEXT),
    (fields.SecretText, Kind.SECRET),
    (fields.TlsVersion, Kind.TLS_VERSION),
    (fields.Flag, Kind.FLAG),
    (fields.OptionalFlag, Kind.FLAG),
    (fields.Int, Kind.INT),
    (fields.Duration, Kind.DURATION),
    (fields.Interval, Kind.INTERVAL),
    (fields.Size, Kind.SIZE),
    (fields.PathText, Kind.PATH),
    (fields.OptionalPath, Kind.PATH),
    (fields.WebUrl, Kind.URL),
    (fields.LinkUrl, Kind.URL),
    (fields.AuditTarget, Kind.AUDIT),
    (fields.StoreUrl, Kind.STORE),
    (fields.Texts, Kind.TEXTS),
    (fields.ExactTexts, Kind.TEXTS),
    (fields.Paths, Kind.PATHS),
    (fields.Addresses, Kind.ADDRESSES),
    (fields.Networks, Kind.NETWORKS),
    (fields.WebOrigins, Kind.ORIGINS),
    (fields.Ports, Kind.PORTS),
    (fields.Subjects, Kind.SUBJECTS),
)
Holds = Literal["table", "list", "map"]
_BOUNDS: Final[tuple[tuple[type[Any], str], ...]] = (
    (Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt"), (MinLen, "min_length"), (MaxLen, "max_length"),
)  # fmt: skip
_DEFAULT: Final = "Default: "
"""How the sentence begins with which the documentation of a key describes a default that is made at load."""


_CITED: Final = re.compile(r" \([a-z-]+\.md [0-9.]+\)")


@dataclass(frozen=True, slots=True)
class Key:
    """One key that holds a value."""

    name: str
    path: str
    """Dotted; ``[]`` stands behind a list of tables, ``NAME`` for a name of one's own."""
    kind: Kind
    choices: tuple[str, ...]
    """Allowed values, where they are few."""
    bounds: Mapping[str, float]
    """By ``ge``, ``gt``, ``le``, ``lt`` (numbers; seconds, bytes), ``min_length``, ``max_length`` (characters)."""
    default: Any
    """As plain JSON data in the words of a file; None where there is none."""
    default_words: str
    """What it is made of, where it is made at load; else empty."""
    restart: bool
    """Whether a change is applied by a restart alone."""
    text: str
    """Documentation, in Markdown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A table, a list of tables or a map of tables: what stands in one such table."""

    name: str
    path: str
    model: str
    """Name of the model; parts of one model have the same keys."""
    holds: Holds
    key: str
    """Of a list: the field by which its items are addressed; empty where that is the index alone."""
    text: str
    """Documentation, in Markdown."""
    entries: tuple[Key | Part, ...]


@cache
def describe() -> Part:
    """The whole configuration."""
    return _part("", "", Configuration, "table", "", "")


def parts(part: Part) -> Iterator[Part]:
    """A part and every part below it."""
    yield part
    for entry in part.entries:
        if isinstance(entry, Part):
            yield from parts(entry)


def _part(name: str, path: str, model: type[Section], holds: Holds, key: str, text: str) -> Part:
    before = f"{path}." if path else ""
    entries = (_entry(field, f"{before}{field}", info) for field, info in model.model_fields.items())
    return Part(name, path, model.__name__, holds, key, text or _markdown(model.__doc__), tuple(entries))


def _entry(name: str, path: str, info: FieldInfo) -> Key | Part:
    annotation, text = info.annotation, _markdown(info.description)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _part(name, path, annotation, "table", "", text)
    arguments = get_args(annotation)
    if not any(isinstance(mark, Form) for mark in info.metadata):
        if get_origin(annotation) is tuple:
            key = next((mark.field for mark in info.metadata if isinstance(mark, KeyedBy)), "")
            return _part(name, f"{path}[]", arguments[0], "list", key, text)
        if get_origin(annotation) is not Literal and isinstance(arguments[1], type):
            return _part(name, f"{path}.NAME", arguments[1], "map", "", text)
    return _key(name, path, info, text)


def _key(name: str, path: str, info: FieldInfo, text: str) -> Key:
    kind = _kind(info)
    is_choice = get_origin(info.annotation) is Literal
    choices = tuple(choice for choice in get_args(info.annotation) if choice) if is_choice else ()
    bounds = {word: getattr(mark, word) for mark in info.metadata for of, word in _BOUNDS if isinstance(mark, of)}
    text, _, words = text.partition(_DEFAULT)
    restart = any(path == key or path.startswith(f"{key}.") for key in RESTART_KEYS)
    default = None if words else _default(info)
    return Key(name, path, kind, choices, bounds, default, words.removesuffix("."), restart, text.strip())


def _kind(info: FieldInfo) -> Kind:
    for alias, kind in _KINDS:
        if all(mark in info.metadata for mark in get_args(alias)[1:]):
            return kind
    if Form.CONDITIONS in info.metadata:
        return Kind.CONDITIONS
    if get_origin(info.annotation) is Literal:
        return Kind.CHOICE
    held = FieldInfo.from_annotation(get_args(info.annotation)[1])
    if get_origin(held.annotation) is tuple:
        return Kind.TEXTS_MAP if get_args(held.annotation)[0] is str else Kind.NETWORK_MAP
    return Kind.MAP if held.annotation is str else Kind.MAPS


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return None
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Mapping):
        return dict(value)
    form = next((mark for mark in info.metadata if isinstance(mark, Form)), Form.TEXT)
    return plain(form, value)


def _markdown(text: str | None) -> str:
    """A docstring as one line, with single backticks, and without the contracts that it cites."""
    return _CITED.sub("", " ".join((text or "").split())).replace("``", "`")
