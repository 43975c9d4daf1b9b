"""What the operator reads: one line an event, nothing forged, nothing blocked by a slow reader."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from pathlib import Path

import pytest

from gateway.telemetry.audit import AuditWriter, NoAudit, new_event, open_audit
from gateway.telemetry.logs import Log, utc


def test_a_name_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    log = Log("info", "text", stream)
    logging.getLogger("test").warning("user %s", "ada\n12:00:00 info all is well\x1b[2J")
    log.close()
    [line] = stream.getvalue().splitlines()
    assert line.endswith("user ada\\n12:00:00 info all is well\\x1b[2J")


def test_json_lines() -> None:
    stream = io.StringIO()
    log = Log("info", "auto", stream)  # no terminal
    logging.getLogger("test").info("über\n%d", 5)
    logging.getLogger("test").debug("not at this level")
    try:
        raise ValueError("oh")
    except ValueError:
        logging.getLogger("test").exception("failed")
    log.close()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "test", "über\n5")
    assert "ValueError: oh" in second["exception"]


def test_the_level_can_change() -> None:
    stream = io.StringIO()
    log = Log("error", "json", stream)
    logging.getLogger("test").info("before")
    log.configure("debug", "json")
    logging.getLogger("test").debug("after")
    log.close()
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["after"]


def test_times_are_utc() -> None:
    assert utc(0.0019) == "1970-01-01T00:00:00.001Z"


def test_audit_events_are_lines(tmp_path: Path) -> None:
    audit = open_audit(f"file:{tmp_path}/audit.json")
    for number in range(100):
        audit.write(new_event(0.0, "login", "failure", user=f"ada\n{number}", reason="wrong password"))
    audit.close()
    events = [json.loads(line) for line in (tmp_path / "audit.json").read_text().splitlines()]
    assert [event["user"] for event in events] == [f"ada\n{number}" for number in range(100)]
    assert len({event["id"] for event in events}) == 100
    assert isinstance(open_audit("off"), NoAudit)
    with pytest.raises(OSError):
        open_audit(f"file:{tmp_path}/missing/audit.json")


def test_a_reader_that_stopped_blocks_nobody() -> None:
    """A full pipe: writing to it would block for ever."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    audit = AuditWriter(stream)
    events = [new_event(0.0, "login", "success", user="x" * 1000) for _ in range(200)]
    done = threading.Event()

    def log_all() -> None:
        for event in events:
            audit.write(event)
        done.set()

    threading.Thread(target=log_all).start()
    assert done.wait(10)
    assert not audit.close(), "something is left, and closing does not wait for it for ever"
    drained = threading.Thread(target=lambda: list(iter(lambda: os.read(read, 1 << 20), b"")))
    drained.start()
    assert audit.close()
    stream.close()
    drained.join()
    os.close(read)


def test_a_lost_event_is_reported_at_once(caplog: pytest.LogCaptureFixture) -> None:
    audit = open_audit("file:/dev/full")
    audit.write(new_event(0.0, "login", "success"))
    audit.close()
    assert "audit events are being lost" in caplog.text


def test_a_renamed_file_is_left(tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    audit = open_audit(f"file:{file}")
    audit.write(new_event(0.0, "login", "success", user="before"))
    audit.reopen()
    audit.close()
    file.rename(tmp_path / "audit.1")
    audit = open_audit(f"file:{file}")
    audit.write(new_event(0.0, "login", "success", user="first"))
    file.rename(tmp_path / "audit.2")
    audit.reopen()
    audit.write(new_event(0.0, "login", "success", user="second"))
    assert audit.close()
    assert [json.loads(line)["user"] for line in file.read_text().splitlines()] == ["second"]
    assert "first" in (tmp_path / "audit.2").read_text()


def test_a_fifo_without_reader_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError):
        open_audit(f"file:{tmp_path}/fifo")
