"""What our keys are called in ClearML's words, for people who gave them in these words."""

from __future__ import annotations

from collections.abc import Sequence

from .layer import is_index
from .origin import Origin, Path


class Wording:
    """Remembers which keys came by ClearML's spellings."""

    def __init__(self, rows: Sequence[tuple[Path, Path]]) -> None:
        """``rows`` are ClearML's paths with ours; ``*`` stands for a name."""
        self._rows = rows
        self._given: dict[Path, tuple[Path, str]] = {}
        self._tables: set[Path] = set()

    def note_alone(self, spelled: Path, key: Path, origin: Origin) -> None:
        """Remember that ``key`` was given as ``spelled``, which says nothing about other keys of its table."""
        self._given[key] = (spelled, origin.place)

    def note(self, spelled: Path, key: Path, origin: Origin) -> None:
        """Remember that ``key`` was given as ``spelled``."""
        self.note_alone(spelled, key, origin)
        self._tables.update(key[:length] for length in range(2, len(key)))

    def spelled(self, key: Path, place: str = "") -> Path | None:
        """ClearML's path of a key, where it came by it (at that place), or is absent from a table that did."""
        while key and is_index(key[-1]) and key not in self._given:
            key = key[:-1]
        if key in self._given:
            spelled, given_at = self._given[key]
            return spelled if place in ("", given_at) else None
        if key[:2] not in self._tables:
            return None
        return next((filled(row, stars(ours, key)) for row, ours in self._rows if _fits(ours, key)), None)

    def hint(self, key: Path, origin: Origin) -> str:
        """`` (ClearML's name)`` for the end of a message; empty where the place says it already, or there is none."""
        spelled = self.spelled(key, origin.place)
        if spelled is None:
            return ""
        name = written(spelled, origin)
        said = origin.place.rpartition("CLEARML__")[2].lower() == "__".join(spelled).lower()
        return "" if said else f" ({name})"


def written(spelled: Path, origin: Origin) -> str:
    """A path as it is written where the origin is: dotted in files, else as the name of a variable."""
    own_name = len(spelled) == 1  # a variable of another program
    return ".".join(spelled) if origin.kind == "file" or own_name else "CLEARML__" + "__".join(spelled)


def filled(pattern: Path, names: Sequence[str]) -> Path:
    """The pattern with names in place of its ``*``."""
    rest = iter(names)
    return tuple(next(rest) if part == "*" else part for part in pattern)


def stars(pattern: Path, path: Path) -> Path:
    """What stands for the ``*`` of a pattern in a path that fits it."""
    return tuple(name for part, name in zip(pattern, path, strict=True) if part == "*")


def _fits(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(part in ("*", name) for part, name in zip(pattern, path, strict=True))
