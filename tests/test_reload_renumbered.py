"""Blocks without a name that a reload would put under the names of others, on which rights hang (DECISIONS 1, 8, 25)."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path

import pytest

from tests.admin_client import status
from tests.daemon import running
from tests.directories.slapd import Slapd
from tests.grafana.ldap_toml import block
from tests.test_reloader import house

HARBOR = Path(__file__).parent / "grafana" / "harbor.ldif"


def toml(*blocks: str) -> bytes:
    """An ``ldap.toml``; a block is ``HOST BASE`` or ``NAME=HOST BASE``."""
    text = "# by Grafana's rules\n"
    for each in blocks:
        name, _, place = each.rpartition("=")
        host, base = place.split()
        text += f'[[servers]]\nhost = "{host}"\nport = 1389\nsearch_filter = "(uid=%s)"\nsearch_base_dns = ["dc={base}"]\n'
        text += f'name = "{name}"\n' if name else ""
    return text.encode()


A, B, C = "127.0.0.1 a", "127.0.0.2 b", "127.0.0.3 c"
OTHER = "is another directory under a name that only its order gives it: "
B_FOR_A = f"{OTHER}127.0.0.2:1389 below dc=b"
WAS_A = "; before: 127.0.0.1:1389 below dc=a"
# blocks before, blocks after, what the reason to hold says; nothing where it is applied
MOVED: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    ((A, B), (B,), (f"servers.ldap {B_FOR_A}, which was ldap2{WAS_A}",)),
    ((A, B), (B, A), (f"servers.ldap {B_FOR_A}, which was ldap2{WAS_A}", f"servers.ldap2 {OTHER}127.0.0.1:1389 below dc=a, which was ldap;")),
    ((A, B), (C, A, B), ("servers.ldap ", "servers.ldap2 ", "servers.ldap3 ")),
    ((A,), (B,), (f"servers.ldap {B_FOR_A}{WAS_A}.",)),
    (("127.0.0.1 a", "127.0.0.1 b"), ("127.0.0.1 b",), ("servers.ldap ", "below dc=b, which was ldap2")),
    (("127.0.0.1 a", "127.0.0.2 a"), ("127.0.0.2 a",), ("servers.ldap ", "which was ldap2")),
    ((A, B), ("corp=127.0.0.1 a", B), ("servers.ldap ", "which was ldap2")),
    (("corp=127.0.0.1 a", B), ("harbor=127.0.0.2 b",), ()),
    ((A, B), (A,), ()),
    ((A,), (A, B), ()),
    ((A,), (A, A), ()),
    ((A, B), ("127.0.0.9 a", B), ()),
    ((A, B), ("127.0.0.1 z", B), ()),
    (("127.0.0.1 a", B), ("ldap=127.0.0.1 a", "ldap2=127.0.0.2 b"), ()),
    (("corp=127.0.0.1 a", "harbor=127.0.0.2 b"), ("harbor=127.0.0.2 b", "corp=127.0.0.1 a"), ()),
    ((A, B), ("ldap=127.0.0.2 b", "ldap2=127.0.0.1 a"), ()),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "said"), MOVED, ids=[str(place) for place in range(len(MOVED))])
async def test_what_waits_for_somebody(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], said: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration in force stays, a second look does not change that, and who asks gets it with a warning."""
    async with house(tmp_path, toml(*before), ".toml") as one:
        one.put(toml(*after) + b"# changed\n")
        attempt = await one.reloader.reload("file")
        if not said:
            assert attempt.outcome in ("applied", "held"), attempt
            assert "looks like other directories" not in attempt.reason
            return
        assert (attempt.outcome, one.runtime.current.generation) == ("held", 1)
        assert one.reloader.held is not None and one.reloader._second_look is None
        start, end = "looks like other directories under the names of before: servers.", "; reload by signal or API to apply (ldap-gateway config reload)"
        assert attempt.reason.startswith(start) and attempt.reason.endswith(end)
        assert [text in attempt.reason for text in said] == [True] * len(said), attempt.reason
        assert attempt.reason in caplog.text
        caplog.clear()
        asked = await one.reloader.reload("signal")
        assert (asked.outcome, one.runtime.current.generation, one.reloader.held) == ("applied", 2, None)
        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert sum(OTHER in text for text in warned) == attempt.reason.count(OTHER), warned
        assert (await one.reloader.reload("signal")).problems == one.reloader.snapshot.warnings, "told once"


def test_nobody_is_administrator_by_a_number(tmp_path: Path) -> None:
    """``user:ldap/otto`` was somebody of the first directory; the second one has an otto, too."""
    ldif = HARBOR.read_text()
    other = ldif.replace("uid: otto", "uid: oldo").replace("uid=otto", "uid=oldo")
    with Slapd.start(other, directory=tmp_path / "s1") as first, Slapd.start(ldif, directory=tmp_path / "s2") as second:
        file, own = tmp_path / "ldap.toml", tmp_path / "own.conf"
        one, two = (block().replace("@PORT@", str(slapd.port)) for slapd in (first, second))
        file.write_text(one + two)
        own.write_text('admins = ["user:ldap/otto"], login.floor = 0, reload { poll = 100ms, settle = 100ms, hold = 100ms }')
        with running(tmp_path, files=[file, own]) as daemon:
            assert "only their order gives these blocks their names: ldap" in daemon.log
            ask = "/api/admin/ldap/status"
            assert daemon.call(ask, basic=("otto", "pw")).status == 403
            file.write_text("# the first directory is gone\n" + two)
            daemon.wait_for("looks like other directories under the names of before")
            assert daemon.call(ask, basic=("otto", "pw")).status == 403
            held = status(tmp_path)["held"]
            assert f"127.0.0.1:{second.port} below" in held["reason"] and f"before: 127.0.0.1:{first.port}" in held["reason"]
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("generation 2")
            last = status(tmp_path)["last_reload"]
            assert "which was ldap2" in json.dumps(last["warnings"])
            assert daemon.call(ask, basic=("otto", "pw")).status == 200
