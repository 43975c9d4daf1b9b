"""One directory and one gateway for each file whose tests ask nothing special of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.directories.slapd import COMPANY, Slapd
from tests.serve.conjur.conjur_room import OTHERS, PEOPLE, ConjurRoom, conjur_room


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, PEOPLE, OTHERS, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    async with conjur_room(slapd, tmp_path_factory.mktemp("conjur")) as opened:
        yield opened
