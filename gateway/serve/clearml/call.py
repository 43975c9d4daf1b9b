"""One call: which endpoint in which version, and the envelope of its answer (clearml.md 2, 2.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from gateway.serve.clearml.errors import ApiError, invalid_path
from gateway.telemetry.logs import random_id

_PATH: Final = re.compile(r"/?(?:v(?P<version>\d{1,9}\.?\d{1,9})/)?(?P<name>\w+\.\w+)/?", re.ASCII)
_TEXT_SINCE: Final = (2, 1)
"""Versions of the envelope are strings from here on, floats before; an integer would break the SDK's parser."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

MAX_TRANSACTION_ID: Final = 256


@dataclass(slots=True)
class Call:
    """What the envelope repeats: endpoint, versions, ids."""

    endpoint: str
    requested_version: str
    actual_version: str | None = None
    id: str = field(default_factory=random_id)
    transaction_id: str = ""

    @property
    def version(self) -> tuple[int, ...]:
        """The requested version as comparable numbers."""
        return version_numbers(self.requested_version)

    def envelope(self, data: Mapping[str, Any], error: ApiError | None = None) -> bytes:
        """Render the answer: compact JSON, keys in the API server's order."""
        return self.before(error) + _encode(data).encode("utf-8", "backslashreplace") + b"}"

    def before(self, error: ApiError | None = None) -> bytes:
        """The answer up to its data; behind them comes one brace."""
        meta = {
            "id": self.id,
            "trx": self.transaction_id or self.id,
            "endpoint": {
                "name": self.endpoint,
                "requested_version": self._shown(self.requested_version),
                "actual_version": self._shown(self.actual_version),
            },
            "result_code": error.code if error else 200,
            "result_subcode": error.subcode if error else 0,
            "result_msg": error.message if error else "OK",
            "error_stack": None,
            "error_data": {},
        }
        return f'{{"meta":{_encode(meta)},"data":'.encode("utf-8", "backslashreplace")

    def _shown(self, version: str | None) -> str | float | None:
        if version is None or self.version >= _TEXT_SINCE:
            return version
        return float(version)


@lru_cache(maxsize=256)
def version_numbers(version: str) -> tuple[int, ...]:
    """``2.34`` as ``(2, 34)``."""
    return tuple(int(part) for part in version.split("."))


def parse_path(path: str, default_version: str) -> Call:
    """Read ``[/vN.N]/service.action[/]``, the ``/api`` of the web server already taken off.

    Raises ApiError 400/0, which belongs into the envelope of ``unparsable_call``.
    """
    segments = [unquote(segment) for segment in path.split("/")]
    decoded = "/".join(segments)
    match = _PATH.fullmatch(decoded)
    if match is None or any("/" in segment for segment in segments):
        raise invalid_path(decoded)
    return Call(match["name"], match["version"] or default_version)


def unparsable_call() -> Call:
    """What the API server shows as endpoint where the path named none."""
    return Call("", "1.0")
