"""DECISIONS 5: failures take as long as wrong passwords lately took, whatever their reason."""

from __future__ import annotations

import pytest

from gateway.padding import JITTER, LONGEST, REMEMBERED, Padding

# floor, times of wrong passwords, what an unknown name takes at least
TAKEN = [
    (0.25, [], 0.25),
    (0.25, [0.1], 0.25),
    (0.25, [0.3, 0.6, 0.4], 0.6),
    (0.25, [30.0], LONGEST),
    (0.25, [0.9] + [0.3] * REMEMBERED, 0.3),
]


@pytest.mark.parametrize(("floor", "times", "least"), TAKEN)
def test_a_failure_takes_as_long(floor: float, times: list[float], least: float) -> None:
    padding = Padding(floor)
    for seconds in times:
        padding.note(seconds)
    for took in (0.0, 0.01, least):
        assert least <= took + padding.remaining(took) <= least * (1 + JITTER)
    assert padding.remaining(least * (1 + JITTER)) == 0


def test_without_a_floor_nothing_is_held_back() -> None:
    padding = Padding(0)
    padding.note(0.9)
    assert padding.remaining(0.01) == 0


def test_chance_adds_to_it() -> None:
    padding = Padding(0.25)
    assert len({padding.remaining(0) for _ in range(100)}) > 10
