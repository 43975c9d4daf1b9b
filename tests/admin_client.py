"""Speaks to a running daemon over its admin socket, as the command line does, in code of its own."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.daemon import Answer


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def by_socket(
    directory: Path, path: str, method: str = "GET", fields: Any = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request to the daemon that was started in ``directory``; ``fields`` are sent as JSON, text as it is."""
    connection = _Connection(directory / "state" / "admin.sock")
    body = fields if fields is None or isinstance(fields, str) else json.dumps(fields)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.msg, response.read())
    finally:
        connection.close()


def status(directory: Path) -> Any:
    """``GET /admin/status``."""
    answer = by_socket(directory, "/admin/status")
    assert answer.status == 200, answer.body
    return answer.json
