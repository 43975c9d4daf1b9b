"""One call of the Vault dialect, as its endpoints are given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from gateway.grants.policies.acl import Operation
from gateway.serve.vault.reply import VaultError

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.runtime import Live
    from gateway.serve.vault.authority import Holder

__all__ = ["Call", "Operation", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks before its body is read; whose it is, is decided on this."""

    live: Live
    request_id: str
    now: int
    """Seconds since 1970."""
    operation: Operation
    """``UPDATE`` for POST and PUT."""
    path: str
    """Decoded, behind ``/v1/``; that of a listing ends in a slash, no other does."""
    client: Address | None
    """None on a unix socket."""
    token_text: str = field(repr=False)
    """Empty: none was sent."""
    wrap_ttl: int
    """Seconds for which the answer is to be wrapped; 0: not at all."""


@dataclass(frozen=True, slots=True)
class Call(Question):
    """A request whose body was read and whose holder may make it.

    The getters give the value of a declared field, from path, body or query, or the empty value of its type where it
    was not sent.
    """

    parameters: Mapping[str, str]
    """Captured from the path."""
    data: Mapping[str, Any] = field(repr=False)
    """Body or query, within the limits on JSON, otherwise as it came."""
    values: Mapping[str, Any] = field(repr=False)
    """Declared fields that were given, converted, those captured from the path among them."""
    _holder: Holder | None = field(repr=False)

    @classmethod
    def of(
        cls,
        question: Question,
        parameters: Mapping[str, str],
        data: Mapping[str, Any],
        values: Mapping[str, Any],
        holder: Holder | None,
    ) -> Self:
        """The call that a question has become."""
        asked = {each.name: getattr(question, each.name) for each in fields(question)}
        return cls(**asked, parameters=parameters, data=data, values=values, _holder=holder)

    @property
    def holder(self) -> Holder:
        """Whose token it is. On routes that need none there is no holder."""
        if self._holder is None:
            raise TypeError("this route needs no token")
        return self._holder

    def given(self, name: str) -> bool:
        """Whether a field was sent."""
        return name in self.values

    def text(self, name: str) -> str:
        """A string."""
        return str(self.values.get(name, ""))

    def flag(self, name: str) -> bool:
        """A bool."""
        return bool(self.values.get(name, False))

    def integer(self, name: str) -> int:
        """A whole number."""
        return int(self.values.get(name, 0))

    def duration(self, name: str) -> int:
        """Whole seconds, never negative."""
        return int(self.values.get(name, 0))

    def texts(self, name: str) -> list[str]:
        """A list of strings, trimmed."""
        return list(self.values.get(name, ()))

    def mapping(self, name: str) -> dict[str, Any]:
        """An object."""
        return dict(self.values.get(name, {}))

    def required(self, name: str, message: str) -> str:
        """A string that must be there. Raises VaultError 400 with ``message``."""
        if text := self.text(name):
            return text
        raise VaultError(400, message)
