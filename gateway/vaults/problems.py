"""What is wrong with a vault's text, or worth knowing to its author. Neither ever quotes a value."""

from __future__ import annotations

from typing import NamedTuple


class Remark(NamedTuple):
    """Something that the author of a text should know. Lines and columns count from 1; 0 where there are none."""

    message: str
    line: int
    column: int


class UnusableText(ValueError):
    """A text that must not be delivered. Lines and columns count from 1; 0 where there are none."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message)
        self.message = message
        self.line = line
        self.column = column
