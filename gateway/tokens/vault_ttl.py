"""How long a Vault token lives: the arithmetic of vault.md 6 and 8, after ``CalculateTTL`` of a Vault. Pure.

All times are whole seconds. Everywhere but in ``Lifetime.ttl`` zero stands for "not set".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SYSTEM_TTL: Final = 768 * 3600
"""``vault.default_lease_ttl`` and ``.max_lease_ttl`` unless configured (configuration.md 1.6)."""


class Refused(Exception):
    """What a client asks for is against a rule; the text is for it (status 400)."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The lease times of a mount, where it has none those of the system."""

    default_ttl: int = SYSTEM_TTL
    max_ttl: int = SYSTEM_TTL


SYSTEM: Final = Caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What ``token_ttl`` and its like, a token role or a request ask for."""

    ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What a token gets."""

    ttl: int
    """From now on; 0: without end."""
    warnings: tuple[str, ...] = ()


def lifetime(terms: Terms, caps: Caps, *, age: int = 0, increment: int = 0) -> Lifetime:
    """Of a new token, or of one of ``age`` seconds that is renewed, by ``increment`` if that is given.

    Raises ``Refused`` for one that has reached its end; so nothing here ever yields a token without end.
    """
    longest = min(filter(None, (caps.max_ttl, terms.max_ttl, terms.explicit_max_ttl)), default=SYSTEM_TTL)
    warnings: list[str] = []
    if terms.period:
        ttl = terms.period
        if ttl > longest:
            warnings.append(_capped("period", "period value", ttl, longest))
            ttl = longest
        end = terms.explicit_max_ttl
    else:
        ttl = increment or terms.ttl or caps.default_ttl or SYSTEM_TTL
        end = longest
    if end:
        left = end - age
        if left <= 0:
            raise Refused("past the max TTL, cannot renew")
        if ttl > left:
            warnings.append(_capped("TTL", "TTL value", ttl, left))
            ttl = left
    return Lifetime(ttl, tuple(warnings))


def last_end(terms: Terms, caps: Caps, created_at: int) -> int | None:
    """When a token must have ended whatever renews it; None for a periodic one without hard end."""
    if terms.period:
        return created_at + terms.explicit_max_ttl if terms.explicit_max_ttl else None
    return created_at + min(filter(None, (caps.max_ttl, terms.max_ttl, terms.explicit_max_ttl)), default=SYSTEM_TTL)


def shown(seconds: int) -> str:
    """``1h30m``, ``2h``, ``45s``."""
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _capped(what: str, value: str, asked: int, given: int) -> str:
    return (
        f'{what} of "{shown(asked)}" exceeded the effective max_ttl of "{shown(given)}"; '
        f"{value} is capped accordingly"
    )
