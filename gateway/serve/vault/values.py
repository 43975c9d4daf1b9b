"""What a request gives for the fields of its route, and what is said of the rest (vault.md 1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

from gateway.grants.policies.parameters import Meaning, MeaningOf
from gateway.printable import printable
from gateway.serve.vault.fields import Field, Type, convert
from gateway.serve.vault.reply import VaultError

_MOST_SHOWN: Final = 20
_LONGEST_SHOWN: Final = 100


def converted(fields: Iterable[Field], parameters: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """The declared fields that were given, and all that was captured from the path, which wins.

    Raises VaultError 400.
    """
    values: dict[str, Any] = dict(parameters)
    for field in fields:
        if field.name not in data and field.name not in parameters:
            continue
        given = parameters.get(field.name, data.get(field.name))
        if given is None and field.type is Type.DURATION:
            continue  # null is no time to a Vault, not no length of time
        try:
            values[field.name] = convert(field.type, given)
        except ValueError as error:
            text = f'error converting input for field "{field.name}": {error}'
            raise VaultError(400, f"Field validation failed: {text}") from None
    return values


def meaning_of(fields: Iterable[Field]) -> MeaningOf:
    """What the endpoint of these fields makes of a parameter, for those who bound it."""
    known = {field.name: field for field in fields}

    def meaning(name: str) -> Meaning:
        folded = name.lower()
        field = known.get(folded)
        if field is None:
            return Meaning((folded,))
        kept = field.same_as or folded
        names = {kept, *(other.name for other in known.values() if other.same_as == kept)}
        return Meaning(names, partial(_read, field.type))

    return meaning


def _read(type_: Type, value: Any) -> Any:
    try:
        return convert(type_, value)
    except ValueError:
        return value


def require_distinct(fields: Collection[Field], data: Iterable[str]) -> None:
    """Refuse two names that differ by capitals alone: one would be judged and the other used. Raises VaultError 400.

    An endpoint without fields takes what comes.
    """
    seen: set[str] = set()
    for name in data if fields else ():
        if name.lower() in seen:
            raise VaultError(400, f"{printable(name, _LONGEST_SHOWN)} is given twice: capitals do not count")
        seen.add(name.lower())


def warnings_of(fields: Collection[Field], parameters: Collection[str], data: Collection[str]) -> list[str]:
    """What a client should hear of the keys it sent; a route without fields takes any."""
    if not fields:
        return []
    known = {field.name for field in fields}
    warnings = []
    if unknown := [name for name in data if name not in known and name not in parameters]:
        warnings.append(f"Endpoint ignored these unrecognized parameters: {_shown(unknown)}")
    if replaced := [name for name in data if name in parameters]:
        text = "Endpoint replaced the value of these parameters with the values captured from the endpoint's path"
        warnings.append(f"{text}: {_shown(replaced)}")
    return warnings


def _shown(names: list[str]) -> str:
    more = " ..." if len(names) > _MOST_SHOWN else ""
    return "[" + " ".join(printable(name, _LONGEST_SHOWN) for name in sorted(names)[:_MOST_SHOWN]) + more + "]"
