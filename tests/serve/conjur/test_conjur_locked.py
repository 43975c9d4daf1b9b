"""conjur.md 9.13: an old API key of somebody whom the directory itself has locked, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from tests.directories.alan import ALAN
from tests.directories.slapd import COMPANY, Slapd
from tests.directories.test_openldap_states import STATES_LDIF, PolicySlapd, lock
from tests.serve.conjur.conjur_room import OTHERS, PEOPLE, conjur_room


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A slapd that locks accounts."""
    directory = tmp_path_factory.mktemp("policy") / "slapd"
    with PolicySlapd.start(COMPANY, STATES_LDIF, PEOPLE, OTHERS, directory=directory) as started:
        yield started


# how alan is locked: by wrong passwords, or by an administrator; whether his key is good again afterwards
LOCKS = [("", True), ("000001010000Z", False)]


@pytest.mark.parametrize(("since", "comes_back"), LOCKS, ids=["a while", "for good"])
async def test_the_key_of_somebody_who_is_locked(slapd: Slapd, tmp_path: Path, since: str, comes_back: bool) -> None:
    """A lock holds the key up; who is locked for good is gone, and so is what they held."""
    environment = {"CLEARML__session__refresh_interval": "0", "CLEARML__servers__corp__preset": "openldap"}
    async with conjur_room(slapd, tmp_path, environment=environment) as site:
        key = await site.key("alan", "enigma")
        assert (await site.authenticate("alan", key)).status == 200
        with slapd.administration() as connection:
            if since:
                connection.modify(ALAN, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [since])]})
            else:
                await asyncio.to_thread(lock, slapd, "alan")
            for secret in (key, "enigma"):
                for answer in (await site.authenticate("alan", secret), await site.login("alan", secret)):
                    assert (answer.status, answer.body) == (401, b"")
            connection.modify(ALAN, {"pwdAccountLockedTime": [(ldap3.MODIFY_DELETE, [])]})
        assert (await site.authenticate("alan", key)).status == (200 if comes_back else 401)
        assert (await site.key("alan", "enigma") == key) is comes_back
