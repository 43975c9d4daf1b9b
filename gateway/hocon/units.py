"""Durations, sizes and booleans: what a value means where one of these is wanted (HOCON, Units format)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from .values import Value

Factor = TypeVar("Factor", int, float)
Scalar = Value | str | int | float
_NUMBER_AND_UNIT: Final = re.compile(r"\s*([+-]?[0-9]+)?(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*([^\W\d_]*)\s*").fullmatch
LONGEST: Final = 400
"""Characters of a number with its unit; no float needs more."""


def _units(*rows: tuple[Factor, str]) -> dict[str, Factor]:
    return {name: factor for factor, names in rows for name in names.split()}


SECONDS: Final = _units(
    (1e-9, "ns nano nanos nanosecond nanoseconds"),
    (1e-6, "us micro micros microsecond microseconds"),
    (1e-3, "ms milli millis millisecond milliseconds"),
    (1, "s second seconds"),
    (60, "m minute minutes"),
    (3600, "h hour hours"),
    (86400, "d day days"),
    (7 * 86400, "w week weeks"),
)
"""Seconds of each unit. Weeks are from the specification of periods, whose months and years have no fixed length."""
_PREFIXES: Final = (
    "kilo kibi", "mega mebi", "giga gibi", "tera tebi", "peta pebi", "exa exbi", "zetta zebi", "yotta yobi"
)  # fmt: skip


def _byte_units() -> Iterator[tuple[int, str]]:
    yield 1, "B b byte bytes"
    for power, prefixes in enumerate(_PREFIXES, 1):
        ten, two = prefixes.split()
        letter = two[0].upper()
        yield 1000**power, f"{'k' if power == 1 else letter}B {ten}byte {ten}bytes"
        yield 1024**power, f"{letter} {two[0]} {letter}i {letter}iB {two}byte {two}bytes"


BYTES: Final = _units(*_byte_units())
"""Bytes of each unit. A letter alone is a power of two."""


def duration(value: Scalar, *, unit: str = "ms") -> float:
    """Seconds. ``unit`` is that of a bare number: milliseconds by the specification.

    :raises ValueError: for what is no duration; a ``HoconError`` where a ``Value`` was given. Never quotes it.
    """
    number, factor = _parts(value, SECONDS, unit, "a duration such as 30s or 5 minutes")
    # 90 * 1e-3 is not 0.09; dividing by the whole number gives the nearest float.
    return float(number) / round(1 / factor) if factor < 1 else float(number) * factor


def size(value: Scalar, *, unit: str = "B") -> int:
    """Bytes; a fraction of one is cut off. ``unit`` is that of a bare number.

    :raises ValueError: as ``duration`` does.
    """
    number, factor = _parts(value, BYTES, unit, "a size such as 512 or 64 KiB")
    return int(number * factor)


def boolean(value: Value | str | bool) -> bool:
    """One of true, yes, on, false, no, off (HOCON, Automatic type conversions).

    :raises ValueError: as ``duration`` does.
    """
    content = value.value if isinstance(value, Value) else value
    if isinstance(content, bool):
        return content
    if content in ("true", "yes", "on"):
        return True
    if content in ("false", "no", "off"):
        return False
    raise _refusal(value, "true or false")


def _parts(value: Scalar, units: Mapping[str, Factor], unit: str, wanted: str) -> tuple[int | float, Factor]:
    """The number and the factor of its unit."""
    content = value.value if isinstance(value, Value) else value
    if isinstance(content, int | float) and not isinstance(content, bool) and _finite(content):
        return content, units[unit]
    match = _NUMBER_AND_UNIT(content) if isinstance(content, str) and len(content) <= LONGEST else None
    if match is not None and (match[1] or match[2]) and (name := match[4] or unit) in units:
        whole, fraction, exponent, _ = match.groups("")
        number = float(f"{whole}{fraction}{exponent}") if fraction or exponent else int(whole)
        if _finite(number):
            return number, units[name]
    raise _refusal(value, wanted)


def _finite(number: int | float) -> bool:
    try:
        return math.isfinite(float(number) * 1e30)
    except OverflowError:
        return False


def _refusal(value: Scalar, wanted: str) -> ValueError:
    message = f"expected {wanted}"
    return value.error(message) if isinstance(value, Value) else ValueError(message)
