"""What an endpoint is: a name, who may call it, and a function from a request to the data of its answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gateway.serve.clearml.errors import ApiError, only_for_people, required_field, validation
from gateway.telemetry.audit import new_event
from gateway.tokens.issuer import is_text

if TYPE_CHECKING:
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.clearml.authorize import Caller, Credentials
    from gateway.vaults.ready import Ready


DIALECT: Final = "clearml"


@dataclass(slots=True)
class Request:
    """One call as an endpoint's function sees it."""

    live: Live
    endpoint: str
    """Its name."""
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
        """Write the audit event of something that was done; who acted for somebody is named."""
        account, told = identity.account, [reason, f"by {identity.actor_label}" if identity.actor else ""]
        event = new_event(
            time.time(), action, "success", generation=self.live.generation, reason=", ".join(filter(None, told)),
            dialect=DIALECT, server=account.server, user=account.username, client=self.client, target=target,
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

    @property
    def person(self) -> Identity:
        """Whom the call is for, where that is somebody with a record. Raises ApiError 400/300 for services."""
        if not self.identity.account.server:
            raise only_for_people()
        return self.identity

    def text(self, name: str) -> str:
        """A required text. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        if value is None:
            raise required_field(name)
        if not is_text(value):
            raise validation(f"error for field '{name}'. expected a string")
        return str(value)

    def optional_text(self, name: str) -> str:
        """A text, empty where it is not given. Raises ApiError 400/12."""
        return "" if self.parameters.get(name) is None else self.text(name)

    def flag(self, name: str, default: bool) -> bool:
        """An optional boolean. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise validation(f"error for field '{name}'. expected a boolean")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """An optional number up to ``most``, its fraction cut off; null and 0 mean the default.

        Raises ApiError 400/12.
        """
        value = self.parameters.get(name)
        if value is None:
            return default
        usable = not isinstance(value, bool) and isinstance(value, int | float)
        if not usable or not (value == 0 or 1 <= value <= most):
            raise validation(f"error for field '{name}'. expected a number up to {most}")
        return int(value) or default

    def texts(self, name: str) -> list[str]:
        """An optional list of texts; one text alone is a list of one. Raises ApiError 400/12."""
        value = self.parameters.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(map(is_text, values)):
            raise validation(f"error for field '{name}'. expected a list of strings")
        return values

    def required_texts(self, name: str) -> list[str]:
        """As ``texts``, where it must be given. Raises ApiError 400/12."""
        if self.parameters.get(name) is None:
            raise required_field(name)
        return self.texts(name)


def iso_time(seconds: int) -> str:
    """A time, in seconds since 1970, as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Answer:
    """Data of a successful answer, and what to do with the cookie."""

    data: Mapping[str, Any] = field(default_factory=dict)
    cookie: tuple[str, int] | None = None
    """Token and seconds to keep it; an empty token removes the cookie."""
    rendered: tuple[Ready, ...] = ()
    """The JSON of the data in pieces, where it was made before; then ``data`` does not count."""


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
    changes_state: bool = False
    """Whether anything is different afterwards, so that no other site may make a browser call it (DECISIONS 29)."""
    repeatable: bool = False
    """Whether the answer follows from token, parameters and store alone, so that it may be given again."""
