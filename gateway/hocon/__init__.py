"""A small HOCON library: text to values that know their place, merge, and back to text.

It imports nothing of the gateway. What it reads is the specification of the Lightbend reference (``HOCON.md`` of
lightbend/config), in linear time and within ``Limits``; includes are files only and substitutions see only the text and
what the caller gives. ``HoconError`` is the one error for a text, and never quotes it.
"""

from .include import FileIncludes, Include, Included, IncludeError
from .merge import merge
from .reader import parse
from .render import render
from .units import boolean, duration, size
from .values import HoconError, Limits, Position, Unresolved, Value, plain

__all__ = [
    "FileIncludes",
    "HoconError",
    "Include",
    "IncludeError",
    "Included",
    "Limits",
    "Position",
    "Unresolved",
    "Value",
    "boolean",
    "duration",
    "merge",
    "parse",
    "plain",
    "render",
    "size",
]
