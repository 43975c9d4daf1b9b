"""Where values come from, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from gateway.identity import fold_name

from .schema.section import Severity

Kind = Literal["default", "file", "stored", "variable", "credential"]
Path = tuple[str, ...]
"""Keys from the root of the tree; items of lists by name or index."""


class Origin(NamedTuple):
    """Where a value came from.

    ``place`` is a file's path, a variable's name, who wrote a stored value through an API, or ``default``. Lines and
    columns count from 1, columns in characters; 0 where there are none. A position is that of the key, of an item of a
    list its own. (A named tuple, because a frozen dataclass costs three times as much, and a file has 100,000.)
    """

    kind: Kind
    place: str
    line: int = 0
    column: int = 0

    def at(self, line: int, column: int) -> Origin:
        """A position within the same place."""
        return Origin(self.kind, self.place, line, column)

    def __str__(self) -> str:
        return f"{self.place}:{self.line}:{self.column}" if self.line else self.place


DEFAULT: Final = Origin("default", "default")


@dataclass(slots=True, eq=False)
class Given:
    """One value as a layer gives it, with its origin. ``None`` removes what an earlier layer gave.

    What a reader of files returns is a tree of these: a table holds a ``dict`` of them, a list a ``list``.
    """

    value: Any
    origin: Origin
    overridden: Given | None = None
    """What would hold without it, from an earlier layer or from further above in the same file."""

    def __repr__(self) -> str:
        return f"Given(..., {str(self.origin)!r})"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or worth a warning. Never holds the value of a secret."""

    place: str
    path: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        text = f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"
        return "".join(_printable(letter) for letter in text)


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    return letter.encode("unicode_escape").decode("ascii")


class ConfigurationError(Exception):
    """The configuration cannot be used. Its text has every error on a line; ``problems`` holds warnings too."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems if problem.severity == "error"))
        self.problems = problems


class Problems:
    """Collects problems; of several errors about one key of one place only the first is kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Problem] = {}
        self._refused: set[str] = set()

    def add(self, origin: Origin, path: Path | str, message: str, severity: Severity = "error") -> None:
        """Note a problem at a path of the tree."""
        dotted = path if isinstance(path, str) else ".".join(path)
        key = (origin.place, dotted, "" if severity == "error" and dotted else message)
        self._found.setdefault(key, Problem(origin.place, dotted, message, severity))
        if severity == "error":
            names = fold_name(dotted).split(".")
            self._refused.update(".".join(names[:length]) for length in range(1, len(names) + 1))

    def warn(self, origin: Origin, path: Path | str, message: str) -> None:
        """Note a warning."""
        self.add(origin, path, message, "warning")

    def __len__(self) -> int:
        return len(self._found)

    def refuse(self, path: Path) -> bool:
        """Whether an error about this path, or about something below it, is known, at whatever place."""
        return fold_name(".".join(path)) in self._refused

    @property
    def all(self) -> tuple[Problem, ...]:
        """Everything found, in the order of finding."""
        return tuple(self._found.values())

    @property
    def errors(self) -> bool:
        """Whether anything found forbids using the configuration."""
        return bool(self._refused)
