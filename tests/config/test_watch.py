"""The watcher of configuration files: every row of ops.md 1.3 that one machine can make, by events and by polling."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from file_changes import NEW, OLD, ROWS, Row, as_vim_does, conf, linked, plain, replaced
from hypothesis import given
from hypothesis import strategies as st
from watching import GRACE, NEVER, QUIET, SETTLE, one_report_each, settings_for, watching

from gateway.config.directory_events import DirectoryEvents
from gateway.config.fingerprint import identities, look
from gateway.config.watch import Watcher

MODES = ("events", "poll")
MOUNTS = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
LIMITS = ("unshare", "-Ur")


@pytest.mark.parametrize("row", [row for row in ROWS if not row.mounts], ids=str)
async def test_one_report_for_each_change(row: Row, tmp_path: Path) -> None:
    await asyncio.gather(
        *(one_report_each(tmp_path / mode, row.watched, row.change, **settings_for(mode, row.heard)) for mode in MODES)
    )


@pytest.mark.parametrize("row", [row for row in ROWS if row.mounts], ids=str)
def test_one_report_for_each_change_with_mounts(row: Row, tmp_path: Path) -> None:
    for mode in MODES:
        in_namespace(Path(__file__).with_name("watching.py"), str(row), tmp_path / mode, mode)


def in_namespace(*arguments: str | Path, unshare: tuple[str, ...] = MOUNTS) -> str:
    """Run Python where its mounts, or its limits, are nobody else's; what it wrote to stderr."""
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip(f"{' '.join(unshare)} is not allowed here")
    path = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parent)))
    command = [*unshare, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, timeout=90, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_file_that_stays_away_is_reported_after_the_grace(tmp_path: Path, mode: str) -> None:
    """ops.md 1.3 row 8: absent is not empty."""
    async with watching(plain(tmp_path), **settings_for(mode, heard=True)) as (_, reports):
        loop = asyncio.get_running_loop()
        gone_at = loop.time()
        conf(tmp_path).unlink()
        await reports.reaches(2, quiet=GRACE)
        assert loop.time() - gone_at >= 2 * GRACE
        conf(tmp_path).write_text(NEW)
        await reports.reaches(3)


async def test_another_file_waits_for_one_that_is_away(tmp_path: Path, mode: str) -> None:
    """A reload in between would find it missing."""
    paths = [*plain(tmp_path), tmp_path / "other"]
    paths[1].write_text(OLD)
    async with watching(paths, **settings_for(mode, heard=True), missing_grace=NEVER) as (_, reports):
        paths[0].unlink()
        paths[1].write_text(NEW)
        await asyncio.sleep(QUIET)
        assert reports.count == 1
        paths[0].write_text(NEW)
        await reports.reaches(2)


async def test_what_happens_around_the_file_is_nothing(tmp_path: Path, mode: str) -> None:
    """ops.md 1.3 row 27: backups, swap files, locks and temporary files of editors."""
    paths = plain(tmp_path)
    (tmp_path / "other" / "conf").mkdir(parents=True)
    async with watching(paths, **settings_for(mode, heard=True)) as (_, reports):
        for number in range(100):
            for name in (".#gateway.conf", "#gateway.conf#", f".gateway.conf.{number}", "gateway.conf~", "4913"):
                paths[0].with_name(name).write_text("noise")
                paths[0].with_name(name).unlink()
        paths[0].read_text()
        await reports.reaches(1)
        await asyncio.to_thread(as_vim_does, tmp_path)
        await reports.reaches(2)


async def test_a_change_during_a_report_is_seen_afterwards(tmp_path: Path, mode: str) -> None:
    async with watching(plain(tmp_path), **settings_for(mode, heard=True)) as (_, reports):

        def once_more() -> None:
            if reports.count == 2:
                replaced(tmp_path)

        reports.act = once_more
        replaced(tmp_path)
        await reports.reaches(3)


async def test_a_report_that_fails_ends_nothing(tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    async with watching(plain(tmp_path), **settings_for(mode, heard=True)) as (_, reports):

        def fail() -> None:
            raise RuntimeError("no reload today")

        reports.act = fail
        for count in (2, 3):
            replaced(tmp_path)
            await reports.reaches(count)
        assert caplog.text.count("a change of files could not be acted upon") == 2


async def test_another_set_of_files(tmp_path: Path, mode: str) -> None:
    """ops.md 1.3 row 34: the set is an output of each load. New files may have changed since they were read."""
    first, second = plain(tmp_path)[0], tmp_path / "other" / "second.conf"
    second.parent.mkdir()
    second.write_text(OLD)
    async with watching([first], **settings_for(mode, heard=True)) as (watcher, reports):
        watcher.watch([second])
        await reports.reaches(2)
        first.write_text(NEW)
        await reports.reaches(2)
        second.write_text(NEW)
        await reports.reaches(3)
        watcher.watch([second])
        await reports.reaches(3)
        watcher.watch([])
        second.write_text(OLD)
        await reports.reaches(3)


async def test_settings_change_at_once(tmp_path: Path) -> None:
    async with watching(plain(tmp_path), poll=NEVER, events=False) as (watcher, reports):
        assert watcher.mode == "poll"
        conf(tmp_path).write_text(NEW)
        watcher.configure(poll=NEVER, settle=NEVER, missing_grace=GRACE, events=True)
        await reports.reaches(1)
        assert watcher.mode == "events"
        watcher.configure(poll=NEVER, settle=SETTLE, missing_grace=GRACE, events=True)
        await reports.reaches(2)
        conf(tmp_path).write_text(OLD)
        await reports.reaches(3)
        watcher.configure(poll=0, settle=0, missing_grace=0, events=False)
        conf(tmp_path).unlink()
        await reports.reaches(4)
        assert watcher.mode == "poll"
        assert watcher.errors == 0


def test_a_file_mounted_by_itself_is_warned_of(tmp_path: Path) -> None:
    """ops.md 1.3 row 18: nobody can see it replaced."""
    tmp_path = tmp_path / "with blank\r\\"
    tmp_path.mkdir()
    script = f"""
import asyncio, logging
from pathlib import Path
from file_changes import bound_directory, bound_file
from watching import watching

async def main():
    paths = bound_file(Path({str(tmp_path)!r}))
    Path({str(tmp_path)!r}, "link").symlink_to(paths[0])
    paths += [Path({str(tmp_path)!r}, "link"), Path({str(tmp_path)!r}, "host")]
    async with watching(paths) as (watcher, reports):
        paths[0].write_text("next")
        await reports.reaches(2)

logging.basicConfig(format="%(message)s")
asyncio.run(main())
"""
    lines = in_namespace("-c", script).split("\n")
    warning = "is mounted by itself: nobody sees it replaced; mount its directory instead"
    assert lines == [f"{conf(tmp_path)} {warning}", f"{tmp_path}/link {warning}", ""]


def test_polling_alone_while_inotify_is_used_up(tmp_path: Path) -> None:
    """ops.md 1.3 row 31: said once; events again as soon as there are some."""
    script = f"""
import asyncio, logging
from pathlib import Path
from file_changes import plain, replaced
from watching import watching

LIMIT = Path("/proc/sys/user/max_inotify_instances")
place = Path({str(tmp_path)!r})

async def main():
    allowed = LIMIT.read_text()
    LIMIT.write_text("0")
    async with watching(plain(place)) as (watcher, reports):
        assert (watcher.mode, watcher.errors) == ("poll", 1)
        replaced(place)
        await reports.reaches(2)
        async with asyncio.timeout(20):
            while watcher.errors < 2:
                await asyncio.sleep(0.05)
        LIMIT.write_text(allowed)
        async with asyncio.timeout(20):
            while watcher.mode == "poll":
                await asyncio.sleep(0.05)
        watcher.configure(poll=60, settle=0.2, missing_grace=0.6, events=True)
        replaced(place)
        await reports.reaches(3)

logging.basicConfig(format="%(message)s")
asyncio.run(main())
"""
    lines = in_namespace("-c", script, unshare=LIMITS).splitlines()
    assert lines == ["changes of files are found by polling alone: Too many open files"]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_cancellation_leaves_nothing(tmp_path: Path) -> None:
    async def nothing() -> None:
        pass

    paths = linked(tmp_path)
    await asyncio.to_thread(open_files)
    threads, files = set(threading.enumerate()), open_files()
    for tick in range(60):
        watcher = Watcher(nothing, poll=0.01, settle=0.01, missing_grace=0.01, events=True)
        watcher.watch(paths)
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(tick / 2000)
        replaced(tmp_path)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert watcher.mode == "poll"
    left = [thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio_")]
    assert not left
    assert open_files() == files
    assert len(asyncio.all_tasks()) == 1


def test_neither_reading_nor_a_growing_log_wakes_anybody(tmp_path: Path) -> None:
    """ops.md 1.3 row 26: the reload would feed itself."""
    path = plain(tmp_path)[0]
    log = path.with_suffix(".log")
    log.touch()
    woken = threading.Semaphore(0)
    events = DirectoryEvents(woken.release)
    assert events.follow(identities([path.parent]))
    assert not events.follow(identities([path.parent]))
    try:
        with log.open("a") as growing:
            for _ in range(50):
                path.read_text()
                list(path.parent.iterdir())
                growing.write("line\n")
                growing.flush()
            assert not woken.acquire(timeout=QUIET)
        assert woken.acquire(timeout=20)
    finally:
        events.close()
    assert not events.follow(identities([path.parent]))
    assert not events.active


@pytest.mark.parametrize(
    ("path", "deciding"),
    [
        ("loop", {"", "links"}),
        ("file/below/it", {""}),
        ("absent/below/it", {""}),
        ("dangling", {"", "links"}),
        ("links/../file", {""}),
        ("directory", {""}),
        ("up", {"", "links"}),
        ("x" * 300, {""}),
        ("zero\0", set()),
        ("\ud800", set()),
    ],
)
def test_directories_that_decide(tmp_path: Path, path: str, deciding: set[str]) -> None:
    """The real directory of every link on the way and of the end, or of the last that is there."""
    (tmp_path / "links").mkdir()
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text(OLD)
    (tmp_path / "loop").symlink_to("links/loop")
    (tmp_path / "links" / "loop").symlink_to("../loop")
    (tmp_path / "dangling").symlink_to("links/absent")
    (tmp_path / "up").symlink_to("links/../links/up")
    (tmp_path / "links" / "up").symlink_to(tmp_path / "file")
    found = look(tmp_path / path)
    assert (found.fingerprint is not None) is (path in ("links/../file", "directory", "up"))
    assert found.directories == {tmp_path.resolve() / name for name in deciding}


NAMES = st.sampled_from(["a", "b", "c", "a/b", "../b", "..", "c/../a", "./c"])


@given(links=st.lists(st.tuples(NAMES, NAMES, st.booleans()), max_size=6), path=st.lists(NAMES, max_size=3))
def test_real_paths_are_those_of_the_system(
    links: list[tuple[str, str, bool]], path: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("links") / "top"
    for directory in ("a/b", "b", "c/a"):
        (top / directory).mkdir(parents=True)
    (top / "c" / "b").write_text(OLD)
    for name, target, absolute in links:
        if ".." not in name and not (top / name).exists() and not (top / name).is_symlink() and (top / name).parent.is_dir():
            (top / name).symlink_to(top / target if absolute else target)
    whole = top.joinpath(*path)
    found = look(whole).fingerprint
    assert (found is not None) is os.path.exists(whole)
    if found is not None:
        assert str(found.real_path) == os.path.realpath(whole)
        assert found.inode == whole.stat().st_ino
