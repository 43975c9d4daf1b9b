"""Where values come from, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.identity import fold_name

from .schema.section import Severity

Kind = Literal["default", "file", "variable", "credential"]
Path = tuple[str, ...]
"""Keys from the root of the tree; items of lists by name or index."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from. ``place`` is a file's path, a variable's name, or ``default``."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return self.place


DEFAULT: Final = Origin("default", "default")


@dataclass(frozen=True, slots=True)
class Given:
    """One value as a layer gives it, with its origin. ``None`` removes what an earlier layer gave."""

    value: Any
    origin: Origin

    def __repr__(self) -> str:
        return f"Given(..., {self.origin.place!r})"


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
