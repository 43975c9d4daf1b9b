"""Durations and sizes as people write them (configuration.md 1.1)."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

_MILLISECONDS: Final = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 604_800_000),
}
"""Whole numbers, to be divided at last: 9 times 0.001 is not 0.009."""
_INTERVALS: Final = {"always": 0.0, "never": math.inf}
_BYTES: Final = {
    **dict.fromkeys(("", "b", "byte", "bytes"), 1),
    **dict.fromkeys(("k", "kib"), 1024),
    **dict.fromkeys(("m", "mib"), 1024**2),
    **dict.fromkeys(("g", "gib"), 1024**3),
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
}
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_DURATION_PART: Final = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]+)\s*", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,15})\s*([a-z]*)", re.ASCII)
LARGEST_INT: Final = 2**53
"""What every reader of JSON still takes for a whole number (RFC 8259 6)."""
LONGEST_SECONDS: Final = 100 * 366 * 86400.0
"""A hundred years: a longer duration would overflow clocks further on."""


def parse_duration(value: object) -> float:
    """Seconds from ``90``, ``"90s"``, ``"5 minutes"``, ``"1h30m"`` or a ``timedelta``.

    :raises ValueError: for anything else, for a negative one, and for one beyond a hundred years.
    """
    seconds: float
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str):
        seconds = _seconds_of(value.strip().lower())
    else:
        raise ValueError("expected a duration such as 90s, 5m, 1h30m, 30 days or a number of seconds")
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise ValueError("expected a duration between 0 and a hundred years")
    return float(seconds)


def parse_interval(value: object) -> float:
    """Seconds like ``parse_duration``; besides ``"always"``, which is 0, and ``"never"``, which is infinite.

    :raises ValueError: for anything else.
    """
    if isinstance(value, str) and (word := value.strip().lower()) in _INTERVALS:
        return _INTERVALS[word]
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or always, or never") from None


def _seconds_of(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    total, at = 0.0, 0
    while part := _DURATION_PART.match(text, at):
        if part[2] not in _MILLISECONDS:
            break
        total, at = total + float(part[1]) * _MILLISECONDS[part[2]] / 1000, part.end()
    if not text or at != len(text):
        raise ValueError("expected a duration such as 90s, 5m, 1h30m, 30 days or a number of seconds")
    return total


def parse_size(value: object) -> int:
    """Bytes from ``65536`` or ``"64 KiB"``; ``K``, ``M``, ``G`` are binary, ``KB``, ``MB``, ``GB`` decimal.

    :raises ValueError: for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_INT:
        return value
    found = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None or found[2] not in _BYTES:
        raise ValueError("expected a size such as 65536, 64 KiB or 1 MiB")
    return int(found[1]) * _BYTES[found[2]]


def duration_text(seconds: float) -> int | float | str:
    """A duration as people write it: ``"5m"``, ``"30 days"``; a bare number of seconds where no unit fits."""
    if math.isinf(seconds):
        return "never"
    for unit, length in ((" days", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds % length == 0 and (seconds or unit == "s"):
            return f"{int(seconds) // length}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds * 1000 == round(seconds * 1000) else seconds


def size_text(size: int) -> int | str:
    """A size as people write it: ``"64 KiB"``; a bare number of bytes where no unit fits."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % length == 0:
            return f"{size // length} {unit}"
    return size
