"""The steps of an examination: a mark, what was found, how long it took, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from gateway.printable import printable

Mark = Literal["ok", "warn", "fail", "skipped"]
_Path = str | tuple[str, ...]

NOT_FOUND: Final = "is not found"
"""How the step begins of somebody whom a server does not have."""
_WEIGHT: Final[dict[Mark, int]] = {"skipped": 0, "ok": 1, "warn": 2, "fail": 3}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at. Texts are clean: they may come from a directory, and end on a terminal."""

    step: str
    """What was looked at: ``connect``, ``certificate``, ``bind``, ..."""
    subject: str
    """Which of several: a host with its port, a base, a person; may be empty."""
    mark: Mark
    text: str
    """What was found."""
    advice: str = ""
    """What to do about it."""
    key: str = ""
    """The configuration key that the advice is about, such as ``servers.corp.bind_dn``."""
    origin: str = ""
    """Where that key is written, ``FILE:LINE:COLUMN`` or a variable; ``default`` where it is not."""
    milliseconds: float | None = None
    """None where nothing was timed."""


class Report:
    """The steps taken for one server, in order. ``origin_of`` tells where a key of the whole tree is written."""

    def __init__(self, server: str, origin_of: Callable[[_Path], str]) -> None:
        self.server = server
        self.steps: list[Step] = []
        self.has_person = False
        """Whether the person who was named is there."""
        self._origin_of = origin_of

    def add(
        self,
        step: str,
        mark: Mark,
        text: str,
        *,
        subject: str = "",
        seconds: float | None = None,
        advice: str = "",
        key: _Path = "",
    ) -> None:
        """Note a step. ``key`` is a key of the server, such as ``bind_dn``, or a path of the whole tree."""
        path = self._path(key) if key else ""
        origin = self.origin(key) if key else ""
        milliseconds = None if seconds is None else round(seconds * 1000, 1)
        texts = (printable(text), printable(advice), path, origin)
        self.steps.append(Step(step, printable(subject), mark, *texts, milliseconds=milliseconds))

    def origin(self, key: _Path) -> str:
        """Where a key of the server, or of the whole tree, is written."""
        return printable(self._origin_of(self._path(key) if isinstance(key, str) else key))

    def worsen(self, step: str, mark: Mark) -> None:
        """Give ``mark`` to the steps of that name that were ``ok``: what came later says so."""
        self.steps = [
            replace(one, mark=mark) if (one.step, one.mark) == (step, "ok") else one for one in self.steps
        ]

    def excuse_person(self, servers: str) -> None:
        """Note that other servers have the person who is not here: most people are in one directory alone."""
        told = f"not here, found on {servers}"
        self.steps = [
            replace(one, mark="skipped", text=one.text.replace(NOT_FOUND, told), advice="", key="", origin="")
            if one.step == "person" and one.text.startswith(NOT_FOUND) else one
            for one in self.steps
        ]  # fmt: skip

    def _path(self, key: _Path) -> str:
        return f"servers.{self.server.lower()}.{key}" if isinstance(key, str) else ".".join(key)

    @property
    def mark(self) -> Mark:
        """The gravest mark of all steps."""
        return worst([step.mark for step in self.steps])

    def as_json(self) -> dict[str, Any]:
        """``{"server": ..., "mark": ..., "steps": [...]}``, a step with the fields of ``Step``."""
        return {"server": self.server, "mark": self.mark, "steps": [asdict(step) for step in self.steps]}


def worst(marks: list[Mark]) -> Mark:
    """The gravest of ``marks``; ``ok`` where there are none but ``skipped``."""
    return max([*marks, "ok"], key=lambda mark: _WEIGHT[mark])
