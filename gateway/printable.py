"""Texts of others (directories, files, clients), made fit for a terminal, a log or a message."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 2000
"""Characters of one text, unless said otherwise."""


def printable(text: str, at_most: int = MAX_TEXT) -> str:
    """On one line: control characters, line ends and invisible letters as escapes; cut after ``at_most`` characters."""
    short = text if len(text) <= at_most else f"{text[:at_most]}..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in short
    )
