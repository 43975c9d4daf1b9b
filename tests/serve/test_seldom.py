"""Which refusals are told, by a clock of the test's own (DECISIONS 33)."""

from __future__ import annotations

from gateway.serve.seldom import MOST, SECONDS, Seldom


def test_once_in_a_while_with_how_many_were_not() -> None:
    seldom, one, other = Seldom(), ("192.0.2.1", "x"), ("192.0.2.2", "x")
    times = [1000, 1000, 1001, 1000 + SECONDS - 1, 1000 + SECONDS, 1000 + SECONDS, 1000 + 3 * SECONDS, 1000 + 9 * SECONDS]
    assert [seldom.untold(one, now) for now in times] == [0, None, None, None, 3, None, 1, 0]
    assert seldom.untold(other, 1001) == 0


def test_a_clock_that_was_put_back() -> None:
    seldom = Seldom()
    assert [seldom.untold(("a",), now) for now in (1000, 10, 11)] == [0, 0, None]


def test_sources_are_not_remembered_for_ever() -> None:
    seldom = Seldom()
    for number in range(MOST + 100):
        seldom.untold((str(number),), 1000)
    assert len(seldom._told) == MOST
    assert seldom.untold(("0",), 1000) == 0
    assert seldom.untold((str(MOST),), 1000) is None
