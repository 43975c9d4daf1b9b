"""The arithmetic of lifetimes, as a table (vault.md 6, 8; ``CalculateTTL`` upstream)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens.vault_ttl import SYSTEM_TTL, Caps, Refused, Terms, last_end, lifetime, shown

H = 3600
NEW = [
    ("6 default 768 h", Terms(), Caps(), 2_764_800),
    ("6 token_ttl", Terms(ttl=H), Caps(), H),
    ("6 mount default", Terms(), Caps(default_ttl=2 * H), 2 * H),
    ("6 token_ttl before mount default", Terms(ttl=H), Caps(default_ttl=2 * H), H),
    ("6 token_max_ttl caps", Terms(ttl=2 * H, max_ttl=H), Caps(), H),
    ("6 mount maximum caps", Terms(ttl=2 * H), Caps(max_ttl=H), H),
    ("6 the lesser maximum", Terms(ttl=9 * H, max_ttl=3 * H), Caps(max_ttl=2 * H), 2 * H),
    ("6 a maximum caps the default", Terms(max_ttl=H), Caps(), H),
    ("6 a mount of zeros has the system's", Terms(), Caps(0, 0), SYSTEM_TTL),
    ("8 explicit_max_ttl 5m with ttl 30m gives 300", Terms(ttl=1800, explicit_max_ttl=300), Caps(), 300),
    ("8 explicit maximum alone", Terms(explicit_max_ttl=300), Caps(), 300),
    ("8 period 30m gives 1800", Terms(period=1800), Caps(), 1800),
    ("6 period replaces the ttl", Terms(ttl=60, period=1800), Caps(), 1800),
    ("6 period is capped", Terms(period=2 * H), Caps(max_ttl=H), H),
    ("6 explicit maximum ends a period", Terms(period=1800, explicit_max_ttl=300), Caps(), 300),
]


@pytest.mark.parametrize(("proves", "terms", "caps", "ttl"), NEW, ids=[row[0] for row in NEW])
def test_new(proves: str, terms: Terms, caps: Caps, ttl: int) -> None:
    assert lifetime(terms, caps).ttl == ttl


RENEWED = [
    ("6 by the ttl", Terms(ttl=H), Caps(), H, 0, H),
    ("8 by the increment", Terms(ttl=H), Caps(), 60, 120, 120),
    ("8 an increment may shorten", Terms(ttl=H), Caps(), 0, 5, 5),
    ("6 never past the maximum", Terms(ttl=H, max_ttl=2 * H), Caps(), 2 * H - 10, 0, 10),
    ("14 in the last second", Terms(ttl=H, max_ttl=2 * H), Caps(), 2 * H - 1, 0, 1),
    ("14 at the end", Terms(ttl=H, max_ttl=2 * H), Caps(), 2 * H, 0, None),
    ("14 past the end", Terms(ttl=H, max_ttl=2 * H), Caps(), 3 * H, 9 * H, None),
    ("6 periodic, for ever", Terms(period=H), Caps(), 10**9, 0, H),
    ("6 periodic, the increment does not count", Terms(period=H), Caps(), 0, 5, H),
    ("6 periodic up to the explicit maximum", Terms(period=H, explicit_max_ttl=3 * H), Caps(), 3 * H - 5, 0, 5),
    ("6 periodic past the explicit maximum", Terms(period=H, explicit_max_ttl=3 * H), Caps(), 3 * H, 0, None),
    ("6 system maximum", Terms(ttl=H), Caps(), SYSTEM_TTL - 7, 0, 7),
]


@pytest.mark.parametrize(("proves", "terms", "caps", "age", "increment", "ttl"), RENEWED, ids=[row[0] for row in RENEWED])
def test_renewed(proves: str, terms: Terms, caps: Caps, age: int, increment: int, ttl: int | None) -> None:
    if ttl is None:
        with pytest.raises(Refused, match="past the max TTL, cannot renew"):
            lifetime(terms, caps, age=age, increment=increment)
    else:
        assert lifetime(terms, caps, age=age, increment=increment).ttl == ttl


@pytest.mark.parametrize(
    ("terms", "warnings"),
    [
        (Terms(ttl=H), ()),
        (Terms(ttl=2 * H, max_ttl=H), ('TTL of "2h" exceeded the effective max_ttl of "1h"; TTL value is capped accordingly',)),
        (Terms(period=5400, max_ttl=45), ('period of "1h30m" exceeded the effective max_ttl of "45s"; period value is capped accordingly',)),
    ],
)
def test_warnings(terms: Terms, warnings: tuple[str, ...]) -> None:
    """vault.md 6."""
    assert lifetime(terms, Caps()).warnings == warnings


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59, "59s"), (3600, "1h"), (5400, "1h30m"), (90061, "25h1m1s")])
def test_shown(seconds: int, text: str) -> None:
    assert shown(seconds) == text


lengths = st.integers(0, 10**7)


@given(st.builds(Terms, ttl=lengths, max_ttl=lengths, explicit_max_ttl=lengths, period=lengths), st.builds(Caps, lengths, lengths), lengths, lengths)
def test_never_endless_and_never_past_the_last_end(terms: Terms, caps: Caps, age: int, increment: int) -> None:
    """CVE-2021-32923 (vault.md 14)."""
    end = last_end(terms, caps, 0)
    try:
        ttl = lifetime(terms, caps, age=age, increment=increment).ttl
    except Refused:
        assert end is not None
        assert age >= end
    else:
        assert ttl > 0
        assert end is None or age + ttl <= end
