"""Directories that take longer to start than slapd, started once for all tests. Who changes them, changes them back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.directories.ds389 import Ds389
from tests.directories.samba import Samba


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """The domain of ``samba_fill``, over plain LDAP, StartTLS and LDAPS; the account ``locked`` is."""
    with Samba.start(directory=tmp_path_factory.mktemp("samba") / "dc1") as started:
        started.lock("locked")
        yield started


@pytest.fixture(scope="session")
def ds389(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ds389]:
    """The people of ``ds389``, over plain LDAP, StartTLS and LDAPS; the account ``locked`` is."""
    with Ds389.start(directory=tmp_path_factory.mktemp("ds389") / "corp") as started:
        started.lock("locked")
        yield started
