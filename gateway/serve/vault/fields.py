"""Values of requests: clients send any of them as text, and some a number where a text is meant (vault.md 1)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d))+", re.ASCII)
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_LONGEST_TEXT: Final = 64
"""Characters of a number or a duration."""
_LARGEST: Final = 2**53


class Type(StrEnum):
    """How a field's value is read; the words are those that path-help shows."""

    TEXT = "string"
    FLAG = "bool"
    INTEGER = "int"
    DURATION = "duration (sec)"
    TEXTS = "list"
    MAPPING = "map"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that an endpoint knows."""

    name: str
    type: Type = Type.TEXT
    help: str = ""
    same_as: str = ""
    """Another field of the endpoint, which this is an older name of."""


def convert(type_: Type, value: Any) -> Any:
    """A JSON value as ``str``, ``bool``, ``int``, ``int`` seconds, ``list[str]`` or ``dict``; ``null`` is empty.

    Raises ValueError, whose text never shows the value: it may be a secret in the wrong place.
    """
    return _CONVERTERS[type_](value)


def parse_flag(text: str) -> bool:
    """One of the words for true and false. Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("expected a bool")


def parse_duration(text: str) -> int:
    """Whole seconds of ``90``, ``90s``, ``5m0s``, ``1h30m``, ``1d``; see ``_whole`` for parts of a second.

    Raises ValueError.
    """
    text = text.strip()
    if len(text) > _LONGEST_TEXT:
        raise ValueError("expected a duration")
    if text.startswith("-"):
        raise ValueError("cannot provide negative value")
    if _WHOLE.fullmatch(text):
        return _bounded(int(text))
    if not _DURATION.fullmatch(text):
        raise ValueError("expected a duration such as 90, 90s, 5m or 1h30m")
    return _whole(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def _whole(seconds: float) -> int:
    """Parts of a second do not count, but little is not nothing: zero stands for "no limit" and "not at all"."""
    return _bounded(math.floor(seconds) or math.ceil(seconds))


def _bounded(number: int) -> int:
    if abs(number) > _LARGEST:
        raise ValueError("expected a smaller number")
    return number


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(_as_int(value))
    raise ValueError(f"expected a string, got {_kind(value)}")


def _as_int(value: float) -> float:
    """``3`` of ``3.0``: JSON has one kind of number."""
    return int(value) if value == int(value) and abs(value) <= _LARGEST else value


def _flag(value: Any) -> bool:
    if value is None or value == "":
        return False
    if isinstance(value, bool | int | float):
        return bool(value)
    if isinstance(value, str):
        return parse_flag(value)
    raise ValueError(f"expected a bool, got {_kind(value)}")


def _integer(value: Any) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float) and (whole := _as_int(value)) == value and isinstance(whole, int):
        return _bounded(whole)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return _bounded(int(value.strip()))
    raise ValueError("expected a whole number")


def _duration(value: Any) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("cannot provide negative value")
        return _whole(value)
    raise ValueError(f"expected a duration, got {_kind(value)}")


def _texts(value: Any) -> list[str]:
    """Trimmed; empty ones are left out of what was separated by commas."""
    if isinstance(value, list):
        return [_text(item).strip() for item in value]
    return [item for part in _text(value).split(",") if (item := part.strip())]


def _mapping(value: Any) -> dict[str, Any]:
    """An object, or texts such as ``a=b``, as the command line sends them."""
    if value is None or value == "":
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [item.partition("=") for item in _texts(value)]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("expected a map")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "another value"


_CONVERTERS: Final[Mapping[Type, Callable[[Any], Any]]] = {
    Type.TEXT: _text,
    Type.FLAG: _flag,
    Type.INTEGER: _integer,
    Type.DURATION: _duration,
    Type.TEXTS: _texts,
    Type.MAPPING: _mapping,
    Type.ANY: lambda value: value,
}
