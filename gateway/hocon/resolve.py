"""Substitutions: looked up in the whole tree, each computed once, cycles broken by looking back (HOCON, there).

Two steps, so that ``bar { a = ${bar.b}, b = 1 }`` is no cycle: a value is *computed* only as far as to know what kind
it is and which keys it has; what lies within is *finished* afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .delayed import Append, Concatenation, Delayed, Layers, Substitution, Where
from .merge import join, kind_of, written
from .values import Limits, Value

VALUE_COST: Final = 8
"""Of ``Limits.expansion``."""
OWN: Final = -1
"""Key of ``Delayed.results`` for what a concatenation comes to, whatever is below it."""


class Resolver:
    """Computes every substitution of one tree, in place; ``client``: as the ClearML client does (clearml.md 7.3)."""

    def __init__(
        self, root: Value, limits: Limits, environment: Mapping[str, str] | None, *, client: bool = False
    ) -> None:
        self._client = client
        self._root = root
        self._limits = limits
        self._environment = environment or {}
        self._left = limits.expansion
        self._depth = 0
        self._finished: dict[int, tuple[Any, int]] = {}
        """Objects and lists by identity (held, so that no other takes it), and what they cost."""
        self._computing: list[Value] = []
        self._open: set[int] = set()
        """Objects and lists that are being finished."""

    def run(self) -> None:
        """Finish the tree.

        :raises HoconError: for a substitution that finds nothing, a cycle, or more than the limits allow.
        """
        self._finish(self._root)

    def _enter(self, value: Value) -> None:
        self._depth += 1
        if self._depth > self._limits.depth:
            raise value.error("nested too deeply, or too many substitutions that wait for each other")

    def _charge(self, cost: int, value: Value) -> None:
        self._left -= cost
        if self._left < 0:
            raise value.error("substitutions make the configuration too large")

    def _finish(self, value: Value) -> int:
        """Finish what lies within a value that is computed. Says what it costs."""
        content = value.value
        if not isinstance(content, dict | list):
            return VALUE_COST + (len(content) if isinstance(content, str) else 0)
        if id(content) not in self._finished:
            self._enter(value)
            self._open.add(id(content))
            cost = VALUE_COST
            cost += self._finish_fields(content) if isinstance(content, dict) else self._finish_items(content)
            self._open.discard(id(content))
            self._depth -= 1
            self._finished[id(content)] = content, cost
        return self._finished[id(content)][1]

    def _finish_fields(self, fields: dict[str, Value]) -> int:
        cost = 0
        for key, value in list(fields.items()):
            found = self._entry(value)
            if found is None:
                del fields[key]
            else:
                fields[key] = found
                cost += len(key) + self._finish(found)
        return cost

    def _finish_items(self, items: list[Value]) -> int:
        entries = ((item, self._entry(item)) for item in items)
        found = [entry or item.replaced(None) for item, entry in entries if entry is not None or self._client]
        items[:] = found
        return sum(map(self._finish, found))

    def _entry(self, value: Value) -> Value | None:
        """An entry, computed if it was not; None where it vanishes."""
        if not isinstance(value.value, Delayed):
            return value
        found = self._upto(value)
        if found is None:
            return None
        if id(found.value) in self._open:
            if _optional(value) and not self._client:
                return None
            raise value.error("the value contains itself")
        self._charge(self._finish(found), value)
        return found

    def _upto(self, value: Value) -> Value | None:
        """What a value comes to; for one that is being computed, what the layers below come to: the look back."""
        delayed = value.value
        if not isinstance(delayed, Delayed):
            return value
        layers = delayed.items if isinstance(delayed, Layers) else [value]
        count = len(layers) if delayed.busy < 0 else delayed.busy
        if count in delayed.results:
            return delayed.results[count]
        if self._client and delayed.busy >= 0 and value is not self._computing[-1]:
            raise value.error("substitutions in a circle: the ClearML client cannot read this")
        self._enter(value)
        self._computing.append(value)
        before = delayed.busy
        objects: list[tuple[Value, bool]] = []
        result: Value | None = None
        for delayed.busy in range(count - 1, -1, -1):
            layer = layers[delayed.busy]
            found = self._layer(layer, value)
            if found is not None:
                if type(found.value) is not dict:
                    result = found
                    break
                objects.append((found, _borrowed(layer)))
        delayed.busy = before
        self._computing.pop()
        if objects:
            result = objects[0][0] if len(objects) == 1 else self._merged(value, objects[::-1])
        self._depth -= 1
        delayed.results[count] = result
        return result

    def _layer(self, layer: Value, owner: Value) -> Value | None:
        """What one layer comes to."""
        content = layer.value
        if isinstance(content, Concatenation):
            if OWN not in content.results:
                content.results[OWN] = self._concatenated(layer, content)
            return content.results[OWN]
        if isinstance(content, Append):
            return self._appended(layer, content, owner)
        return self._upto(layer) if layer is not owner else layer

    def _appended(self, layer: Value, append: Append, owner: Value) -> Value:
        """``+=``: as ``a = ${?a} [item]``, but never from the environment."""
        below = self._upto(owner)
        if below is None:
            return layer.replaced(list(append.items))
        if not isinstance(below.value, list):
            raise layer.error("only a list can be added to")
        self._charge(VALUE_COST * len(below.value), layer)
        return layer.replaced(below.value + append.items)

    def _concatenated(self, layer: Value, concatenation: Concatenation) -> Value | None:
        """Values side by side. Objects that substitutions name are merged into a new one."""
        parts: list[tuple[Value | str, bool]] = []
        for part in concatenation.parts:
            if not isinstance(part, Substitution):
                parts.append((part, False))
            elif (found := self._lookup(part)) is not None:
                parts.append((found, True))
        values = [part for part, _ in parts if isinstance(part, Value)]
        if not values:
            return None
        if len(concatenation.parts) == 1:
            return layer.replaced(values[0].value, values[0].text)
        kinds = {kind_of(value) for value in values}
        if kinds == {dict}:
            return self._merged(layer, [(part, named) for part, named in parts if isinstance(part, Value)])
        self._charge(sum(len(value.value) * VALUE_COST if kind_of(value) is list else len(written(value))
                         for value in values if kind_of(value) is not dict), layer)  # fmt: skip
        joined = join([part for part, _ in parts], values[0])
        return layer.replaced(joined.value, joined.text)

    def _lookup(self, substitution: Substitution) -> Value | None:
        """What a path leads to: in the tree, else in the environment.

        :raises HoconError: where it leads nowhere and is not optional.
        """
        for root in substitution.roots:
            found = self._at(root + substitution.path)
            if found is not None:
                return found
        name = ".".join(substitution.path)
        if name in self._environment:
            return substitution.value(self._environment[name])
        if substitution.optional:
            return None
        raise substitution.error(f"the substitution of {name[:100]!r} finds nothing, or itself")

    def _at(self, path: Where) -> Value | None:
        value: Value | None = self._root
        for key in path:
            if value is None:
                return None
            if not isinstance(value.value, dict):
                if self._client:
                    raise value.error("the ClearML client cannot look for a key in what is no object")
                return None
            entry = value.value.get(key)
            value = self._upto(entry) if entry is not None else None
        return value

    def _merged(self, at: Value, objects: list[tuple[Value, bool]]) -> Value:
        """A new object of several, oldest first. With each: whether it is borrowed, so that its ``+=`` is its own."""
        fields: dict[str, Value] = {}
        for value, borrowed in objects:
            self._charge(VALUE_COST * len(value.value), at)
            for key, entry in value.value.items():
                if borrowed and isinstance(entry.value, Append):
                    entry = entry.replaced(list(entry.value.items))
                old = fields.get(key)
                fields[key] = entry if old is None else self._over(old, entry, borrowed)
        return at.replaced(fields)

    def _over(self, old: Value, new: Value, borrowed: bool) -> Value:
        """``merge.put`` for values that others may share."""
        if isinstance(old.value, dict) and isinstance(new.value, dict):
            return self._merged(old, [(old, False), (new, borrowed)])
        if isinstance(new.value, Delayed) or (isinstance(new.value, dict) and isinstance(old.value, Delayed)):
            own = new.value.items if isinstance(new.value, Layers) and not borrowed else [new]
            return new.replaced(Layers([old, *own]))
        return new if new.overridden else Value.over(new, old)


def _borrowed(layer: Value) -> bool:
    """Whether a layer's object is the very object of another key."""
    return isinstance(layer.value, Concatenation) and len(layer.value.parts) == 1


def _optional(value: Value) -> bool:
    """Whether a value is made of optional substitutions only, so that a cycle makes it vanish."""
    content = value.value
    return isinstance(content, Concatenation) and all(
        isinstance(part, str) or (isinstance(part, Substitution) and part.optional) for part in content.parts
    )


