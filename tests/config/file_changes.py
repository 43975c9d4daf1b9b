"""Ways in which files change, for the tests of the watcher: the rows of ops.md 1.3 that one machine can make.

Each works in an empty directory ``place``. The file is ``place/conf/gateway.conf`` unless a row says otherwise.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.05
"""Shorter than the time to settle."""
OLD = "lockout.failures = 1\nlogin.cache = 2\n"
NEW = "lockout.failures = 2\nlogin.cache = 2\nlogin.cache_size = 3\n"
"""Configurations, since the reload is tested by these changes too."""


def conf(place: Path) -> Path:
    return place / "conf" / "gateway.conf"


def plain(place: Path) -> list[Path]:
    """One file in one directory."""
    conf(place).parent.mkdir()
    conf(place).write_text(OLD)
    return [conf(place)]


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)


# 1 to 3: in place


def in_place(place: Path) -> None:
    conf(place).write_text(NEW)


def appended(place: Path) -> None:
    with conf(place).open("a") as file:
        file.write("login.cache_size = 3\n")


def copied_over(place: Path) -> None:
    (place / "new").write_text(NEW)
    run("cp", place / "new", conf(place))


def mapped(place: Path) -> None:
    with conf(place).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        place_of_one = OLD.index("1")
        memory[place_of_one : place_of_one + 1] = b"7"
        memory.flush()


def in_halves(place: Path) -> None:
    with conf(place).open("w") as file:
        for part in (NEW[:7], NEW[7:]):
            file.write(part)
            file.flush()
            time.sleep(PAUSE)


def truncated_first(place: Path) -> None:
    conf(place).write_text("")
    time.sleep(PAUSE)
    conf(place).write_text(NEW)


# 4 and 5: replaced


def replaced(place: Path) -> None:
    temporary = conf(place).with_name(".gateway.conf.new")
    temporary.write_text(NEW)
    temporary.replace(conf(place))


def stream_edited(place: Path) -> None:
    run("sed", "-i", "s/failures = 1/failures = 7/", conf(place))


def moved_in(place: Path) -> None:
    (place / "new").write_text(NEW)
    (place / "new").replace(conf(place))


def installed(place: Path) -> None:
    (place / "new").write_text(NEW)
    run("install", "-m", "0640", place / "new", conf(place))


def moved_across(place: Path) -> None:
    other = Path(f"/dev/shm/{os.getpid()}-{place.name}")
    other.write_text(NEW)
    run("mv", other, conf(place))


# 6 to 8: editors


def as_vim_does(place: Path) -> None:
    path = conf(place)
    swap, probe, backup = path.with_name(".gateway.conf.swp"), path.with_name("4913"), path.with_name("gateway.conf~")
    swap.write_bytes(b"x" * 4096)
    probe.touch()
    probe.unlink()
    path.rename(backup)
    time.sleep(PAUSE)
    path.write_text(NEW)
    path.chmod(0o644)
    backup.unlink()
    swap.unlink()


def with_vim(place: Path) -> None:
    run("vim", "-u", "NONE", "-es", "-c", "set backup backupcopy=no", "-c", "%s/1/7/", "-c", "wq", conf(place))


def backed_up(place: Path) -> None:
    conf(place).rename(conf(place).with_suffix(".bak"))
    conf(place).write_text(NEW)


def deleted_and_created(place: Path) -> None:
    conf(place).unlink()
    time.sleep(6 * PAUSE)
    conf(place).write_text(NEW)


# 9 to 13: links


def config_map(place: Path) -> list[Path]:
    """What the kubelet makes: file -> ..data/file, ..data -> ..time/."""
    volume = conf(place).parent
    (volume / "..2026_1").mkdir(parents=True)
    (volume / "..2026_1" / "gateway.conf").write_text(OLD)
    (volume / "..data").symlink_to("..2026_1")
    conf(place).symlink_to("..data/gateway.conf")
    return [conf(place)]


def config_map_swapped(place: Path) -> None:
    volume = conf(place).parent
    (volume / "..2026_2").mkdir()
    (volume / "..2026_2" / "gateway.conf").write_text(NEW)
    (volume / "..data_tmp").symlink_to("..2026_2")
    (volume / "..data_tmp").replace(volume / "..data")
    shutil.rmtree(volume / "..2026_1")


def linked(place: Path) -> list[Path]:
    """conf/gateway.conf -> ../links/middle -> /.../targets/one"""
    for name in ("conf", "links", "targets"):
        (place / name).mkdir()
    (place / "targets" / "one").write_text(OLD)
    (place / "targets" / "two").write_text(NEW)
    (place / "links" / "middle").symlink_to(place / "targets" / "one")
    conf(place).symlink_to("../links/middle")
    return [conf(place)]


def target_edited(place: Path) -> None:
    (place / "targets" / "one").write_text(NEW)


def target_replaced(place: Path) -> None:
    (place / "targets" / "two").replace(place / "targets" / "one")


def link_pointed_elsewhere(place: Path) -> None:
    run("ln", "-sfn", place / "targets" / "two", conf(place))


def middle_link_pointed_elsewhere(place: Path) -> None:
    (place / "links" / "new").symlink_to("../targets/two")
    (place / "links" / "new").replace(place / "links" / "middle")


def linked_directory(place: Path) -> list[Path]:
    """conf -> releases/1, the whole in a linked directory too"""
    for name, text in (("1", OLD), ("2", NEW)):
        (place / "disk" / "releases" / name).mkdir(parents=True)
        (place / "disk" / "releases" / name / "gateway.conf").write_text(text)
    (place / "disk" / "current").symlink_to("releases/1")
    (place / "conf").symlink_to(place / "disk" / "current")
    return [conf(place)]


def edited_behind_link(place: Path) -> None:
    (place / "disk" / "releases" / "1" / "gateway.conf").write_text(NEW)


def release_swapped(place: Path) -> None:
    (place / "disk" / "next").symlink_to("releases/2")
    (place / "disk" / "next").replace(place / "disk" / "current")


# 14 to 16: directories


def directory_replaced(place: Path) -> None:
    (place / "next").mkdir()
    (place / "next" / "gateway.conf").write_text(NEW)
    (place / "conf").rename(place / "before")
    (place / "next").rename(place / "conf")


def directory_made_again(place: Path) -> None:
    shutil.rmtree(place / "conf")
    time.sleep(PAUSE)
    conf(place).parent.mkdir()
    conf(place).write_text(NEW)


def absent(place: Path) -> list[Path]:
    conf(place).parent.mkdir()
    return [conf(place)]


def all_absent(place: Path) -> list[Path]:
    return [place / "some" / "where" / "gateway.conf"]


def made_with_directories(place: Path) -> None:
    (place / "some" / "where").mkdir(parents=True)
    (place / "some" / "where" / "gateway.conf").write_text(NEW)


# 17 to 23: other ways to the same file


def hard_linked(place: Path) -> list[Path]:
    (place / "elsewhere").mkdir()
    os.link(plain(place)[0], place / "elsewhere" / "same")
    return [conf(place)]


def written_by_other_name(place: Path) -> None:
    (place / "elsewhere" / "same").write_text(NEW)


def bound_directory(place: Path) -> list[Path]:
    (place / "host").mkdir()
    (place / "host" / "gateway.conf").write_text(OLD)
    conf(place).parent.mkdir()
    run("mount", "--bind", place / "host", place / "conf")
    return [conf(place)]


def replaced_on_host(place: Path) -> None:
    (place / "host" / "new").write_text(NEW)
    (place / "host" / "new").replace(place / "host" / "gateway.conf")


def bound_file(place: Path) -> list[Path]:
    (place / "host").mkdir()
    (place / "host" / "gateway.conf").write_text(OLD)
    plain(place)
    run("mount", "--bind", place / "host" / "gateway.conf", conf(place))
    return [conf(place)]


def edited_on_host(place: Path) -> None:
    (place / "host" / "gateway.conf").write_text(NEW)


def mounted_over(place: Path) -> None:
    run("mount", "-t", "tmpfs", "none", place / "conf")
    conf(place).write_text(NEW)


# 24 to 30: odds and ends


def time_put_back(place: Path) -> None:
    before = conf(place).stat()
    conf(place).write_text(OLD.replace("1", "7"))
    os.utime(conf(place), ns=(before.st_atime_ns, before.st_mtime_ns))


def touched(place: Path) -> None:
    conf(place).touch()


def mode_changed(place: Path) -> None:
    conf(place).chmod(0o600)


def burst(place: Path) -> None:
    for _ in range(200):
        replaced(place)


def with_key(place: Path) -> list[Path]:
    """A configuration, and a certificate and its key in other directories."""
    paths = [place / name / "file.pem" for name in ("certificates", "keys")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(OLD)
    return [*plain(place), *paths]


def certificate_then_key(place: Path) -> None:
    for name in ("certificates", "keys"):
        time.sleep(PAUSE)
        (place / name / "new").write_text(NEW)
        (place / name / "new").replace(place / name / "file.pem")


def exchanged(place: Path) -> None:
    other = conf(place).with_name("other.conf")
    other.write_text(NEW)
    library = ctypes.CDLL(None, use_errno=True)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if library.renameat2(here, os.fsencode(other), here, os.fsencode(conf(place)), exchange):
        raise OSError(ctypes.get_errno(), "renameat2")


@dataclass(frozen=True)
class Row:
    """One row: what is watched, what happens to it. ``heard``: an event of a directory tells, without any poll."""

    number: int
    name: str
    change: Callable[[Path], None]
    watched: Callable[[Path], list[Path]] = plain
    heard: bool = True
    mounts: bool = False

    def __str__(self) -> str:
        return f"{self.number:02} {self.name}"


ROWS = [
    Row(1, "written in place", in_place),
    Row(1, "appended", appended),
    Row(1, "cp", copied_over),
    Row(1, "memory map", mapped),
    Row(2, "written in halves", in_halves),
    Row(3, "truncated, then written", truncated_first),
    Row(4, "temporary file renamed", replaced),
    Row(4, "sed -i", stream_edited),
    Row(5, "renamed from another directory", moved_in),
    Row(5, "install", installed),
    Row(5, "mv from another file system", moved_across),
    Row(6, "as vim does", as_vim_does),
    *([Row(6, "vim", with_vim)] if shutil.which("vim") else []),
    Row(7, "backup renamed, new file written", backed_up),
    Row(8, "deleted, then created", deleted_and_created),
    Row(9, "ConfigMap", config_map_swapped, config_map),
    Row(10, "target of links edited", target_edited, linked),
    Row(10, "target of links replaced", target_replaced, linked),
    Row(11, "link pointed elsewhere", link_pointed_elsewhere, linked),
    Row(11, "link in the middle pointed elsewhere", middle_link_pointed_elsewhere, linked),
    Row(12, "directory is a link", edited_behind_link, linked_directory),
    Row(13, "link to the directory pointed elsewhere", release_swapped, linked_directory),
    Row(14, "directory renamed away, another put there", directory_replaced, heard=False),
    Row(15, "directory removed and made again", directory_made_again),
    Row(16, "absent at first", in_place, absent),
    Row(16, "absent at first with its directories", made_with_directories, all_absent),
    Row(17, "bound file edited on the host", edited_on_host, bound_file, heard=False, mounts=True),
    Row(19, "bound directory, replaced on the host", replaced_on_host, bound_directory, mounts=True),
    Row(22, "written by another hard link", written_by_other_name, hard_linked, heard=False),
    Row(23, "another file system mounted over it", mounted_over, heard=False, mounts=True),
    Row(24, "same size, time put back", time_put_back),
    Row(25, "touched", touched, heard=False),
    Row(25, "mode changed", mode_changed, heard=False),
    Row(28, "200 replacements", burst),
    Row(29, "certificate, then key", certificate_then_key, with_key),
    Row(30, "exchanged", exchanged),
]
