"""Texts of others (directories, files, clients), made fit for a terminal, a log or a message."""

from __future__ import annotations

import json
from typing import Final

MAX_TEXT: Final = 2000
"""Characters of one text, unless said otherwise."""


def printable(text: str, at_most: int = MAX_TEXT) -> str:
    """On one line: control characters, line ends and invisible letters as escapes; cut after ``at_most`` characters of
    the text."""
    short = text if len(text) <= at_most else f"{text[:at_most]}..."
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in short
    )


def printable_json(document: str) -> str:
    """A JSON document on one line, in which what is not printable is written as an escape of JSON."""
    if document.isprintable():
        return document
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in document)
