"""Whether the body of a request keeps to what rules say of its parameters (vault.md 9.1).

A Vault compares what was sent with what is written. Here both are compared as whoever answers reads them besides, so
that a bound cannot be passed by another spelling of the same: ``admin``, ``["Admin "]`` and ``x,admin`` for a list,
``60`` and ``1m`` for a time, an older name of a parameter. What is left out is no parameter: where leaving it out means
more than may be given, ``required_parameters`` must name it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.grants.policies.document import Value
from gateway.grants.policies.policy import Rights, Values


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one parameter is to whoever answers."""

    names: Collection[str]
    """In lower case: its own, and others for the same."""
    read: Callable[[Any], Any] = lambda value: value
    """A value as it is understood; it never raises."""


MeaningOf = Callable[[str], Meaning]
"""By the name that was sent."""


def as_sent(name: str) -> Meaning:
    """For parameters of which nothing is known."""
    return Meaning((name.lower(),))


def fit(rights: Rights, given: Mapping[str, Value], meaning: MeaningOf = as_sent) -> bool:
    """Whether all that is given may be, each pair on its own, and what is required is there, under the very name."""
    if not (rights.required or rights.denied or rights.allowed):
        return True
    if not rights.required <= {name for name, value in given.items() if value is not None}:
        return False
    return all(_fits(rights, meaning(name), value) for name, value in given.items())


def _fits(rights: Rights, meaning: Meaning, value: Value) -> bool:
    if "*" in rights.denied:
        return False
    if any(name in rights.denied and _refused(value, rights.denied[name], meaning) for name in meaning.names):
        return False
    if not rights.allowed:
        return True
    named = [rights.allowed[name] for name in meaning.names if name in rights.allowed]
    return any(_listed(value, values, meaning) for values in named) if named else "*" in rights.allowed


def _refused(value: Value, values: Values, meaning: Meaning) -> bool:
    """Nothing of what is given may be listed, in whatever spelling."""
    if not values:
        return True
    parts = [_folded(part) for form in (value, meaning.read(value)) for part in (form, *_parts(form))]
    written = [_folded(part) for one in values for part in (one, *_parts(meaning.read(one)))]
    return any(_equal(one, part) for one in written for part in parts)


def _listed(value: Value, values: Values, meaning: Meaning) -> bool:
    """What is given is listed, or each element of it is."""
    if not values or any(_equal(one, value) for one in values):
        return True
    read, written = meaning.read(value), [part for one in values for part in _parts(meaning.read(one))]
    if isinstance(read, list):
        return bool(read) and all(any(_equal(one, part) for one in written) for part in read)
    return any(_equal(one, read) for one in written)


def _parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _folded(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _equal(written: Any, given: Any) -> bool:
    """Scalars compare as text, because the command line sends every value as text; ``*`` at either end is a glob."""
    if not isinstance(written, str | int | float) or not isinstance(given, str | int | float):
        return bool(written == given)
    text, other = _text(written), _text(given)
    if text == "*":
        return True
    start, end = text.startswith("*"), text.endswith("*")
    if start and end:
        return text[1:-1] in other
    if start:
        return other.endswith(text[1:])
    return other.startswith(text[:-1]) if end else text == other


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
