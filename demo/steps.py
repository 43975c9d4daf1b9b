"""A tour: its steps print what came back, and compare it with what had to come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from tests.daemon import Daemon


@dataclass
class Tour(ABC):
    """Walks through one daemon."""

    daemon: Daemon
    wrong: list[str] = field(default_factory=list, init=False)
    """The steps that went otherwise."""

    @abstractmethod
    def walk(self) -> None:
        """Take every step."""

    def step(self, says: str, found: object, expected: object) -> None:
        """Print what came back."""
        print(f"  {says:58} {found}")
        if found != expected:
            self.wrong.append(f"{says}: expected {expected}, found {found}")
