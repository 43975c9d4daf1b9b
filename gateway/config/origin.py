"""Where values come from, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from gateway.identity import fold_name
from gateway.printable import printable

from .reading import Content
from .schema.section import Severity

if TYPE_CHECKING:
    from .schema import Configuration

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
GRAFANA_DEFAULT: Final = Origin("default", "default of files read by Grafana's rules")
"""Of what nobody wrote, and our own files have otherwise."""
MOST_PROBLEMS: Final = 1000
"""Problems after which the rest is only counted."""


@dataclass(slots=True, eq=False)
class Given:
    """One value as a layer gives it, with its origin. ``None`` removes what an earlier layer gave.

    What a reader of files returns is a tree of these: a table holds a ``dict`` of them, a list a ``list``.
    """

    value: Any
    origin: Origin
    overridden: Given | None = None
    """What would hold without it, from an earlier layer or from further above in the same file."""
    items: tuple[Origin, ...] = ()
    """Of a list of plain values: where each item is written."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Its own origin, and those of what it overrides, the nearest first."""
        found: list[Origin] = []
        given: Given | None = self
        while given is not None:
            found.append(given.origin)
            given = given.overridden
        return tuple(found)

    def __repr__(self) -> str:
        return f"Given(..., {str(self.origin)!r})"


def given_tree(value: Any, origin: Origin) -> Given:
    """A plain value of one origin in the form that readers of files return. Raises RecursionError."""
    if isinstance(value, dict):
        return Given({key: given_tree(item, origin) for key, item in value.items()}, origin)
    return Given([given_tree(item, origin) for item in value] if isinstance(value, list) else value, origin)


def plain_value(given: Given) -> Any:
    """The plain value of a tree that a reader returned."""
    if isinstance(given.value, dict):
        return {key: plain_value(item) for key, item in given.value.items()}
    return [plain_value(item) for item in given.value] if isinstance(given.value, list) else given.value


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or worth a warning. Never holds the value of a secret."""

    origin: Origin
    path: str
    message: str
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """The file, variable or other place, without line and column."""
        return self.origin.place

    @property
    def line(self) -> int:
        """From 1; 0 where there are no lines."""
        return self.origin.line

    @property
    def column(self) -> int:
        """From 1; 0 where there are no lines."""
        return self.origin.column

    def __str__(self) -> str:
        place = "configuration" if self.origin.kind == "default" else str(self.origin)
        text = f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        return printable(text, len(text))


class ConfigurationError(Exception):
    """The configuration cannot be used. Its text has every error on a line; ``problems`` holds warnings too."""

    def __init__(
        self,
        problems: tuple[Problem, ...],
        contents: Mapping[FilePath, Content],
        partial: Configuration | None = None,
        *,
        whole: bool = True,
    ) -> None:
        super().__init__("\n".join(str(problem) for problem in problems if problem.severity == "error"))
        self.problems = problems
        self.contents = contents
        """What the files held that were read until then."""
        self.partial = partial
        """What is left without the wrong values, for whoever must find the state directory; None where nothing is."""
        self.whole = whole
        """Whether every file could be read, so that what ``partial`` holds by default was not given."""


class Problems:
    """Collects problems; of several errors about one key of one place only the first is kept."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Problem] = {}
        self._refused: set[str] = set()
        self._more = 0
        self.notes: list[Problem] = []
        """Worth knowing, and nothing wrong."""

    def add(self, origin: Origin, path: Path | str, message: str, severity: Severity = "error") -> None:
        """Note a problem at a path of the tree."""
        dotted = path if isinstance(path, str) else ".".join(path)
        key = (origin.place, fold_name(dotted), "" if severity == "error" and dotted else message)
        if key not in self._found and len(self._found) >= MOST_PROBLEMS:
            self._more += 1
        else:
            self._found.setdefault(key, Problem(origin, dotted, message, severity))
        if severity == "error":
            names = fold_name(dotted).split(".")
            self._refused.update(".".join(names[:length]) for length in range(1, len(names) + 1))

    def warn(self, origin: Origin, path: Path | str, message: str) -> None:
        """Note a warning."""
        self.add(origin, path, message, "warning")

    def note(self, origin: Origin, message: str) -> None:
        """Note what is nothing wrong."""
        self.notes.append(Problem(origin, "", message, "warning"))

    @property
    def full(self) -> bool:
        """Whether no more are kept."""
        return len(self._found) >= MOST_PROBLEMS

    def __len__(self) -> int:
        return len(self._found)

    def refuse(self, path: Path) -> bool:
        """Whether an error about this path, or about something below it, is known, at whatever place."""
        return fold_name(".".join(path)) in self._refused

    @property
    def all(self) -> tuple[Problem, ...]:
        """Everything found: what concerns one place together, in the order of its lines."""
        places = {place: number for number, (place, _, _) in reversed(list(enumerate(self._found)))}
        found = sorted(self._found.values(), key=lambda problem: (places[problem.place], problem.origin.line))
        if self._more:
            found.append(Problem(found[-1].origin, "", f"... and {self._more} more", found[-1].severity))
        return tuple(found)

    @property
    def errors(self) -> bool:
        """Whether anything found forbids using the configuration."""
        return bool(self._refused)
