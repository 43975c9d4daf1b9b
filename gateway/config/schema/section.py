"""What every section of the configuration is built on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning"]
Place = tuple[str | int, ...]
_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values below which there is nothing to find; thousands of mappings have little else."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check across keys found."""

    place: Place
    """Where, as seen from the section that reports it: keys, and indices of lists."""
    message: str
    severity: Severity = "error"
    absence: bool = False
    """True where a key is missing: not worth saying when a file could not be read at all."""
    rests_on: tuple[Place, ...] = ()
    """Other keys that it follows from, seen like ``place``: not worth saying where one of them was refused."""

    def below(self, *outer: str | int) -> Finding:
        """The same finding as the enclosing section sees it."""
        rests_on = tuple((*outer, *place) for place in self.rests_on)
        return Finding((*outer, *self.place), self.message, self.severity, self.absence, rests_on)


class Section(BaseModel):
    """A table of keys: frozen, closed to unknown keys, and silent about the values it refuses."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=False
    )

    def findings(self) -> Iterator[Finding]:
        """What is wrong across the keys of this section; sections below are asked by ``all_findings``."""
        return iter(())

    def all_findings(self) -> Iterator[Finding]:
        """Findings of this section and of every section below it."""
        yield from self.findings()
        for key in type(self).model_fields:
            if type(value := getattr(self, key)) not in _PLAIN:
                yield from _within(value, key)


def _within(value: object, *place: str | int) -> Iterator[Finding]:
    if isinstance(value, Section):
        yield from (finding.below(*place) for finding in value.all_findings())
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _within(item, *place, name)
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        for index, item in enumerate(value):
            yield from _within(item, *place, index)


def not_both(first: str, second: str, given: Iterable[object]) -> Iterator[Finding]:
    """A finding where both of two alternatives are given."""
    if all(given):
        yield Finding((second,), f"cannot be given together with {first}", rests_on=((first,),))
