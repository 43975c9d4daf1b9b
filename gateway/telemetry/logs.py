"""The operator's log: text on a terminal, JSON otherwise, written by a thread so that a full pipe stops no login."""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from typing import Any, Literal, TextIO

from gateway.printable import printable, printable_json
from gateway.telemetry.writer import LineWriter

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the fields given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        line: dict[str, Any] = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _PLAIN)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(line, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """Time, level, message, for people; control characters are escaped, so that a name cannot forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        clock, message = time.strftime("%H:%M:%S", time.localtime(record.created)), record.getMessage()
        text = f"{clock} {record.levelname.lower():7} {printable(message, len(message))}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def random_id() -> str:
    """32 hexadecimal digits that tell one call or event from another; no secret, so no system call is spent on it."""
    return f"{random.getrandbits(128):032x}"


def utc(seconds: float) -> str:
    """A time as ISO 8601 in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


class WriterHandler(logging.Handler):
    """Hands records to the writing thread, their message rendered while its arguments are as they were."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record."""
        record.msg, record.args = record.getMessage(), None
        self._writer.write(lambda: self.format(record))


class Log:
    """The running log; ``close`` writes what is queued and ends the thread."""

    def __init__(self, level: str, format: Literal["auto", "text", "json"], stream: TextIO | None = None) -> None:  # noqa: A002
        self._stream = stream or sys.stderr
        self._writer = LineWriter(self._stream, "log")
        self._handler = WriterHandler(self._writer)
        root = logging.getLogger()
        self._before = root.handlers[:]
        root.handlers[:] = [self._handler]
        self.configure(level, format)

    def configure(self, level: str, format: Literal["auto", "text", "json"]) -> None:  # noqa: A002
        """Take over the level and format of a new snapshot."""
        text = format == "text" or (format == "auto" and self._stream.isatty())
        self._handler.setFormatter(TextFormatter() if text else JsonFormatter())
        logging.getLogger().setLevel(level.upper())

    def close(self) -> bool:
        """Write what is queued, then stop; False where the reader of the output has stopped reading."""
        logging.getLogger().handlers[:] = self._before
        return self._writer.close()
