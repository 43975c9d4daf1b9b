"""What an endpoint is: a name, who may call it, and a function from a request to the data of its answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.serve.clearml.errors import ApiError, required_field, validation
from gateway.telemetry.audit import new_event

if TYPE_CHECKING:
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.clearml.authorize import Caller, Credentials


DIALECT: Final = "clearml"


@dataclass(slots=True)
class Request:
    """One call as an endpoint's function sees it."""

    live: Live
    parameters: Mapping[str, Any]
    given: Credentials | None
    """What was presented; unchecked where the endpoint is open to anyone."""
    checked: Caller | None
    now: int
    """Seconds since 1970."""
    client: str
    """Address of the client, for audit events; empty for a unix socket."""
    by_own_pages: bool
    """Whether a cookie alone may change state: not by GET, and not from another site."""
    from_elsewhere: bool
    """Whether the browser says that another site made it send this."""

    def audit(self, action: str, identity: Identity, target: str, reason: str = "") -> None:
        """Write the audit event of something that was done."""
        event = new_event(
            time.time(), action, "success", generation=self.live.generation, reason=reason, dialect=DIALECT,
            server=identity.account.server, user=identity.account.username, client=self.client, target=target,
        )  # fmt: skip
        self.live.audit.write(event)

    @property
    def caller(self) -> Caller:
        """The authenticated caller of an endpoint that is not open."""
        if self.checked is None:
            raise ApiError(500, 0, "General server error")
        return self.checked

    @property
    def identity(self) -> Identity:
        """Whom the call is for."""
        return self.caller.identity

    def text(self, name: str) -> str:
        """A required text. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        if value is None:
            raise required_field(name)
        if not isinstance(value, str):
            raise validation(f"error for field '{name}'. expected a string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """An optional boolean. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise validation(f"error for field '{name}'. expected a boolean")
        return value

    def texts(self, name: str) -> list[str]:
        """An optional list of texts; one text alone is a list of one. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, str) for item in values):
            raise validation(f"error for field '{name}'. expected a list of strings")
        return values


@dataclass(frozen=True, slots=True)
class Answer:
    """Data of a successful answer, and what to do with the cookie."""

    data: Mapping[str, Any] = field(default_factory=dict)
    cookie: tuple[str, int] | None = None
    """Token and seconds to keep it; an empty token removes the cookie."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ``service.action``."""

    name: str
    function: Callable[[Request], Awaitable[Answer]]
    since: str = "1.0"
    """Version of the implementation, as the envelope shows it."""
    open: bool = False
    """Whether anyone may call it without credentials."""
    roles: tuple[str, ...] = ()
    """Roles that may call it; empty: every role."""
    login_body: bool = False
    """Whether the smaller limit on bodies holds."""
