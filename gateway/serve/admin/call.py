"""What an endpoint of ``/admin/`` is given, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.reload import Reloader
    from gateway.runtime import Live, Runtime
    from gateway.serve.admin.callers import Caller

Answer = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an administrator."""

    runtime: Runtime
    reloader: Reloader
    live: Live
    caller: Caller
    query: Mapping[str, str]
    fields: Mapping[str, Any]
    """Of the JSON body."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers a path."""

    method: str
    function: Callable[[Call], Awaitable[Answer]]
    parameters: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    large: bool = False
    """Whether a body may be as large as ``http.max_body``."""
