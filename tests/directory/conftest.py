"""A real slapd for the tests of connections, and both event loops for those that touch a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.directories.slapd import COMPANY, Slapd

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
BOTH = frozenset({
    "test_connection", "test_connection_addresses", "test_connection_faults", "test_pool", "test_pool_faults", "test_race",
})  # fmt: skip


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Connections and pools run on both loops, everything else on asyncio's own."""
    return LOOPS if item.path.stem in BOTH else {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The small company over plain LDAP, StartTLS and LDAPS. Tests leave it running."""
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company", tls=True) as slapd:
        yield slapd


@pytest.fixture
def own_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A slapd that the test may kill."""
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "own") as slapd:
        yield slapd
