"""DECISIONS 5: failures take as long as wrong passwords lately took, whatever their reason."""

from __future__ import annotations

import pytest

from gateway.padding import JITTER, LONGEST, REMEMBERED, Padding

# floor, slowest hash of local users, times of wrong passwords by server, what an unknown name takes at least
TAKEN: list[tuple[float, float, list[tuple[str, float]], float]] = [
    (0.25, 0.0, [], 0.25),
    (0.25, 0.1, [("a", 0.1)], 0.25),
    (0.25, 0.0, [("a", 0.3), ("a", 0.6), ("a", 0.4)], 0.6),
    (0.25, 0.0, [("a", 30.0)], LONGEST),
    (0.25, 0.0, [("a", 0.9)] + [("a", 0.3)] * REMEMBERED, 0.3),
    (0.25, 0.0, [("local", 0.9)] + [("a", 0.3)] * REMEMBERED, 0.9),  # one server's quick ones do not hide another's
    (0.25, 0.4, [], 0.4),
    (0.25, 0.4, [("a", 0.3)] * REMEMBERED, 0.4),
    (0.25, 3.0, [], 3.0),  # the operator's own choice
]


@pytest.mark.parametrize(("floor", "slowest", "times", "least"), TAKEN)
def test_a_failure_takes_as_long(floor: float, slowest: float, times: list[tuple[str, float]], least: float) -> None:
    padding = Padding(floor)
    padding.raise_floor(slowest)
    for server, seconds in times:
        padding.note(server, seconds)
    assert padding.least == least
    for took in (0.0, 0.01, least):
        assert least <= took + padding.remaining(took) <= least * (1 + JITTER)
    assert padding.remaining(least * (1 + JITTER)) == 0


def test_without_a_floor_nothing_is_held_back() -> None:
    padding = Padding(0)
    padding.raise_floor(0.9)
    padding.note("a", 0.9)
    assert padding.remaining(0.01) == 0


def test_chance_adds_to_it() -> None:
    padding = Padding(0.25)
    assert len({padding.remaining(0) for _ in range(100)}) > 10
