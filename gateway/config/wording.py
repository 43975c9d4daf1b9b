"""What our keys are called in the words of ClearML, or of Conjur's variables, for people who gave them in these words.
"""

from __future__ import annotations

from collections.abc import Sequence

from .conjur_variables import AUTHENTICATORS, NEEDED_BESIDES, VARIABLES
from .layer import is_index
from .origin import Origin, Path

_Rows = Sequence[tuple[Path, Path]]


class Wording:
    """Remembers which keys came by foreign spellings."""

    def __init__(self, rows: _Rows) -> None:
        """``rows`` are ClearML's paths with ours; ``*`` stands for a name."""
        self._rows = rows
        self._conjur_rows = tuple(((variable.name,), variable.key) for variable in VARIABLES)
        self._given: dict[Path, tuple[Path, str]] = {}
        self._tables: dict[Path, _Rows] = {}

    def note_alone(self, spelled: Path, key: Path, origin: Origin) -> None:
        """Remember that ``key`` was given as ``spelled``, which says nothing about other keys of its table."""
        self._given[key] = (spelled, origin.place)

    def note(self, spelled: Path, key: Path, origin: Origin) -> None:
        """Remember that ``key`` was given as ``spelled``."""
        self.note_alone(spelled, key, origin)
        for length in range(2, len(key)):
            self._tables.setdefault(key[:length], self._conjur_rows if _is_own_name(spelled) else self._rows)

    def spelled(self, key: Path, place: str = "") -> Path | None:
        """The foreign path of a key, where it came by it (at that place), or is absent from a table that did."""
        while key and is_index(key[-1]) and key not in self._given:
            key = key[:-1]
        if key in self._given:
            spelled, given_at = self._given[key]
            return spelled if place in ("", given_at) else None
        rows = self._tables.get(key[:2], ())
        return next((filled(row, stars(ours, key)) for row, ours in rows if _fits(ours, key)), None)

    def hint(self, key: Path, origin: Origin) -> str:
        """`` (its foreign name)`` for the end of a message; empty where the place says it already, or there is none."""
        spelled = self.spelled(key, origin.place)
        if spelled is None and origin.place == AUTHENTICATORS and any(_fits(needed, key) for needed in NEEDED_BESIDES):
            spelled = key
        if spelled is None:
            return ""
        name = written(spelled, origin)
        said = origin.place.rpartition("CLEARML__")[2].lower() == "__".join(spelled).lower()
        return "" if said else f" ({name})"


def written(spelled: Path, origin: Origin) -> str:
    """A path as it is written where the origin is: dotted in files, else as the name of a variable."""
    is_dotted = origin.kind == "file" or _is_own_name(spelled)
    return ".".join(spelled) if is_dotted else "CLEARML__" + "__".join(spelled)


def _is_own_name(spelled: Path) -> bool:
    """Whether it is a variable of another program."""
    return len(spelled) == 1


def filled(pattern: Path, names: Sequence[str]) -> Path:
    """The pattern with names in place of its ``*``."""
    rest = iter(names)
    return tuple(next(rest) if part == "*" else part for part in pattern)


def stars(pattern: Path, path: Path) -> Path:
    """What stands for the ``*`` of a pattern in a path that fits it."""
    return tuple(name for part, name in zip(pattern, path, strict=True) if part == "*")


def _fits(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(part in ("*", name) for part, name in zip(pattern, path, strict=True))
