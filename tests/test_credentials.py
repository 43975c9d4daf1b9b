"""Logins that are remembered: by name, password and the server that was asked (DECISIONS 3, 14)."""

from __future__ import annotations

import pytest

from gateway.credentials import LoginCache, Remembered

LOGIN = Remembered("0" * 32, "corp", "entry")

# name, password, server; whether it is the login that was remembered for ada, secret, corp
PRESENTED = [
    (("ada", "secret", "corp"), True),
    (("ada", "secret", ""), False),
    (("ada", "secret", "mount"), False),
    (("ada", "Secret", "corp"), False),
    (("Ada", "secret", "corp"), False),
    (("ada", "", "corp"), False),
]


@pytest.mark.parametrize(("presented", "known"), PRESENTED)
def test_what_is_remembered(presented: tuple[str, str, str], known: bool) -> None:
    cache = LoginCache(30, 10)
    cache.put("ada", "secret", LOGIN, "corp")
    assert (cache.get(*presented) == LOGIN) is known


def test_the_oldest_goes_first() -> None:
    cache = LoginCache(30, 2)
    for name in ("ada", "alan", "grace"):
        cache.put(name, "x", LOGIN)
    assert [cache.get(name, "x") for name in ("ada", "alan", "grace")] == [None, LOGIN, LOGIN]


@pytest.mark.parametrize(("lifetime", "size"), [(0, 10), (30, 0)])
def test_switched_off(lifetime: float, size: int) -> None:
    cache = LoginCache(lifetime, size)
    cache.put("ada", "x", LOGIN)
    assert cache.get("ada", "x") is None
