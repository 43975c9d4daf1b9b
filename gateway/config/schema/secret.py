"""A text that is never printed: passwords, keys, hashes of passwords."""

from __future__ import annotations

import hmac
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

HIDDEN: Final = "******"
"""What every rendering of a secret shows."""


class Secret:
    """Holds a text; only ``reveal()`` gives it back.

    ``repr``, ``str``, ``format`` and JSON show ``******``. Two secrets compare in constant time, and an empty one is
    false. Pydantic reads one from a string (or takes a ``Secret`` as it is).
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (text.encode("utf-8", "surrogatepass") for text in (self._text, other._text))
        return hmac.compare_digest(mine, theirs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, _spec: str) -> str:
        return HIDDEN

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret is not serialised")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def _read(cls, value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("text", "expected text; write it in quotes")
        if value == HIDDEN:
            raise PydanticCustomError("text", "expected the secret itself; ****** is what is shown in its place")
        if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in value):
            raise PydanticCustomError("text", "not valid UTF-8 text")
        return cls(value)
