"""What endpoints answer, and the envelopes around it (vault.md 1.1, 1.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_encoder: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Reply:
    """A success. One that says nothing is 204 without a body."""

    data: Mapping[str, Any] | None = None
    auth: Mapping[str, Any] | None = None
    """The block of a login, a creation or a renewal."""
    warnings: Sequence[str] = ()
    top_level: bool = False
    """Whether the keys of ``data`` stand in the envelope too, where hvac looks for them."""
    bare: Mapping[str, Any] | None = None
    """The whole body, without an envelope."""
    status: int = 200
    wrap_info: Mapping[str, Any] | None = None
    """Where the answer proper is kept for whoever unwraps it; the rest is empty then (vault.md 10)."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to say."""
        said = (self.data, self.auth, self.bare, self.wrap_info)
        return not self.warnings and all(part is None for part in said)


class VaultError(Exception):
    """A refusal. The texts are for the client: no secrets."""

    def __init__(
        self,
        status: int,
        *texts: str,
        warnings: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """``retry_after`` is in seconds."""
        super().__init__(status, *texts)
        self.status = status
        self.texts = texts
        self.warnings = tuple(warnings)
        self.data = data
        self.retry_after = retry_after


def permission_denied() -> VaultError:
    """No token, no good one, or one that may not: nothing more is said."""
    return VaultError(403, "permission denied")


def not_found() -> VaultError:
    """Something absent is read, or a list is empty."""
    return VaultError(404)


def render(reply: Reply, request_id: str | None, *, in_steps: bool = False) -> bytes:
    """The body of a success that is not ``empty``; it ends with a newline. Without an id none is shown.

    ``in_steps`` is for a thread that renders many thousand entries: at once they would keep all others out.
    """
    if reply.bare is not None:
        return _json(reply.bare, in_steps=in_steps)
    envelope: dict[str, Any] = {
        "request_id": "" if reply.wrap_info else request_id,
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": reply.data,
        "wrap_info": reply.wrap_info,
        "warnings": list(reply.warnings) or None,
        "auth": reply.auth,
    }
    if request_id is None:
        del envelope["request_id"]
    if reply.top_level and reply.data is not None:
        envelope |= {name: value for name, value in reply.data.items() if name not in envelope}
    return _json(envelope, in_steps=in_steps)


def render_error(error: VaultError) -> bytes:
    """The body of a refusal."""
    body: dict[str, Any] = {"errors": list(error.texts)}
    if error.warnings:
        body["warnings"] = list(error.warnings)
    if error.data is not None:
        body["data"] = error.data
    return _json(body)


def _json(value: Mapping[str, Any], *, in_steps: bool = False) -> bytes:
    text = "".join(_encoder.iterencode(value)) if in_steps else _encoder.encode(value)
    # A name of a directory may hold octets that are no text.
    return text.encode("utf-8", "replace") + b"\n"
