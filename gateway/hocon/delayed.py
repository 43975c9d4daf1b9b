"""What a field holds until substitutions are resolved."""

from __future__ import annotations

from typing import Final

from .values import HoconError, Source, Unresolved, Value

Where = tuple[str, ...]
"""Keys from the root."""
ROOT: Final[tuple[Where, ...]] = ((),)


class Substitution:
    """``${path}`` or ``${?path}``. The path is looked up below each of ``roots`` in turn (HOCON, Include semantics).

    ``own``, in the dialect ``pyhocon`` only: the key of the root whose value it is part of; empty where ``+=`` made it.
    """

    __slots__ = ("_offset", "_source", "optional", "own", "path", "roots")

    def __init__(
        self, path: Where, optional: bool, roots: tuple[Where, ...], source: Source, offset: int, own: str = ""
    ) -> None:
        self.path = path
        self.optional = optional
        self.roots = roots
        self.own = own
        self._source = source
        self._offset = offset

    def value(self, content: str) -> Value:
        """A text that took the place of this substitution."""
        return Value(content, self._source, self._offset)

    def error(self, message: str) -> HoconError:
        """An error at the ``$``."""
        return self._source.error(message, self._offset)


Part = Value | Substitution | str
"""Of a concatenation; a ``str`` is the white space between two others."""


class Delayed(Unresolved):
    """A value that is computed at most once."""

    __slots__ = ("busy", "results")

    def __init__(self) -> None:
        self.busy = -1
        """The layer that is being computed; -1 while none is."""
        self.results: dict[int, Value | None] = {}
        """What the layers below each number come to; None where they come to nothing."""


class Concatenation(Delayed):
    """Parts side by side, at least one of them a substitution."""

    __slots__ = ("extends", "parts")

    def __init__(self, parts: list[Part]) -> None:
        super().__init__()
        self.parts = parts
        self.extends = False
        """In the dialect ``pyhocon``: whether an object is before it, so that it must come to one or to nothing."""

    def substitutions(self) -> list[Substitution]:
        """Those of its parts."""
        return [part for part in self.parts if isinstance(part, Substitution)]


class Append(Delayed):
    """``+=``: the items to add to whatever list is below."""

    __slots__ = ("items",)

    def __init__(self, items: list[Value]) -> None:
        super().__init__()
        self.items = items


class Layers(Delayed):
    """Values given to one key, oldest first, whose merge needs substitutions."""

    __slots__ = ("items",)

    def __init__(self, items: list[Value]) -> None:
        super().__init__()
        self.items = items
