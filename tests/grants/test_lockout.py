"""The lockout's decision (DECISIONS 13, vault.md 7)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grants import lockout
from gateway.grants.lockout import Counter, Kind, Verdict

ROWS = tomllib.loads(Path(__file__).with_name("lockout_rows.toml").read_text())["row"]


@dataclass(frozen=True)
class Settings:
    failures: int = 5
    window: float = 900
    duration: float = 900
    address_failures: int = 50
    max_entries: int = 1000


NAME, ADDRESS = lockout.name_key("corp", "Ada"), lockout.address_key(ip_address("192.0.2.1"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_history(row: dict[str, Any]) -> None:
    settings = Settings(**row.get("settings", {}))
    counters: dict[bytes, Counter] = {}
    for event in row["history"]:
        at, times, kind = event.split()
        key = {"account": NAME, "address": ADDRESS}[kind]
        for _ in range(int(times.removeprefix("x"))):
            counters[key.hash] = lockout.count(counters.get(key.hash), key, True, int(at), settings)
    for check in row["checks"]:
        decision = lockout.check(counters, check["at"], settings)
        assert (decision.verdict, decision.retry_after) == (check["verdict"], check.get("retry_after", 0)), check
        assert bool(decision.shown) == (decision.verdict is not Verdict.ALLOWED)


@pytest.mark.parametrize(
    "typed",
    ["alice", "Alice", "alice ", " alice", "ALICE\t", "ａｌｉｃｅ", "alıce".replace("ı", "i"), "a\u006cice"],
)
def test_one_counter_for_all_spellings_of_a_name(typed: str) -> None:
    """vault.md G: CVE-2025-6004, CVE-2025-54998."""
    assert lockout.name_key("corp", typed) == lockout.name_key("corp", "alice")


@pytest.mark.parametrize("typed", ["BJÖRN", "bjorn", "bjǫrṅ", "bj\u00f8rn", "b\u0328\u0301jo\u0308\u24c7n", "b\u00adj\u200born"])
def test_one_counter_for_what_active_directory_takes_for_one_name(typed: str) -> None:
    """bugzilla.samba.org 14847: in modes without a search the typed name is all that is counted before the bind."""
    assert lockout.name_key("corp", typed) == lockout.name_key("corp", "björn")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lockout.name_key("corp", "ada"), lockout.name_key("corp", "adb")),
        (lockout.name_key("corp", "ada"), lockout.name_key("other", "ada")),
        (lockout.name_key("corp", "ada"), lockout.entry_key("corp", "ada", "ada")),
        (lockout.name_key("a", "b/c"), lockout.name_key("a", "b")),
        (lockout.name_key("corp", "\ud800"), lockout.name_key("corp", "\ud801")),
    ],
)
def test_different_things_have_different_counters(one: lockout.Key, other: lockout.Key) -> None:
    assert one.hash != other.hash


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_address_key(address: str, shown: str) -> None:
    """configuration.md 1.4 lockout.address_failures."""
    key = lockout.address_key(ip_address(address))
    assert (key.kind, key.shown) == (Kind.ADDRESS, shown)


def test_entry_key_does_not_depend_on_the_name_shown() -> None:
    """DECISIONS 13: an alias of the entry shares its counter."""
    key = lockout.entry_key("corp", "e1", "Ada")
    assert key.hash == lockout.entry_key("corp", "e1", "ada.lovelace").hash
    assert (key.kind, key.shown) == (Kind.ENTRY, "corp/Ada")
    assert lockout.finds_entry((NAME, key))
    assert not lockout.finds_entry((NAME, ADDRESS))


def test_a_name_once_known_stays_known() -> None:
    first = lockout.count(None, NAME, True, 0, Settings())
    assert lockout.count(first, NAME, False, 1, Settings()).known
    assert not lockout.count(first, NAME, False, 2000, Settings()).known, "a forgotten counter begins anew"


@given(name=st.text(max_size=400), scope=st.text("abc", min_size=1, max_size=5))
def test_what_is_shown_is_short_and_printable(name: str, scope: str) -> None:
    """A name from the network must not speak to the operator's terminal."""
    key = lockout.name_key(scope, name)
    assert len(key.hash) == 32
    assert len(key.shown) <= 200
    assert key.shown.isprintable()


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=80), st.booleans())
def test_a_lock_needs_enough_failures_and_always_ends(times: list[int], is_address: bool) -> None:
    settings, key = Settings(address_failures=7), ADDRESS if is_address else NAME
    counter, limit = None, 7 if is_address else 5
    for number, at in enumerate(sorted(times), 1):
        counter = lockout.count(counter, key, False, at, settings)
        assert counter.count <= number
        assert not counter.locked_until or counter.count >= limit
        assert counter.locked_until <= at + 900
        assert counter.expires_at >= at + 900
        assert lockout.check({key.hash: counter}, counter.expires_at, settings) == lockout.ALLOWED
