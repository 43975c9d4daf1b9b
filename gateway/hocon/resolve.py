"""Substitutions: looked up in the whole tree, each computed once, cycles broken by looking back (HOCON, there).

Two steps, so that ``bar { a = ${bar.b}, b = 1 }`` is no cycle: a value is *computed* only as far as to know what kind
it is and which keys it has; what lies within is *finished* afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from .delayed import Append, Concatenation, Delayed, Layers, Substitution, Where
from .merge import hides, join, kind_of, written
from .values import Limits, Value

VALUE_COST: Final = 8
"""Of ``Limits.expansion``."""
OWN: Final = -1
"""Key of ``Delayed.results`` for what a concatenation comes to, whatever is below it."""


SEVERAL_MISSING: Final = "the ClearML client writes null where several optional substitutions find nothing"


class _Cycle(Exception):
    """An object or list was met within itself. The innermost value that is computed answers for it."""


class Resolver:
    """Computes every substitution of one tree, in place; ``client``: as the ClearML client does (clearml.md 7.3)."""

    def __init__(
        self,
        root: Value,
        limits: Limits,
        environment: Mapping[str, str] | None,
        optional: Mapping[str, str] | None = None,
        *,
        client: bool = False,
    ) -> None:
        self._client = client
        self._root = root
        self._limits = limits
        self._environment = environment or {}
        self._optional = self._environment if optional is None else optional
        self._with_environment = environment is not None
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
        """Finish what lies within a value that is computed. Says what it costs.

        Whatever holds an object or list is finished after it, and changed no more: so no finished tree holds itself.

        :raises _Cycle: where the value is being finished already.
        """
        content = value.value
        if not isinstance(content, dict | list):
            return VALUE_COST + (len(content) if isinstance(content, str) else 0)
        if id(content) in self._open:
            raise _Cycle
        if id(content) not in self._finished:
            self._enter(value)
            self._open.add(id(content))
            try:
                cost = self._finish_fields(content) if isinstance(content, dict) else self._finish_items(content)
            except _Cycle:
                self._charge(VALUE_COST * len(content), value)  # it may be tried again from elsewhere
                raise
            finally:
                self._open.discard(id(content))
                self._depth -= 1
            self._finished[id(content)] = content, cost + VALUE_COST
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
        entries = [self._entry(item) for item in items]
        if self._client:
            self._check_missing(items, entries)
            found = [entry or item.replaced(None) for item, entry in zip(items, entries, strict=True)]
        else:
            found = [entry for entry in entries if entry is not None]
        items[:] = found
        return sum(map(self._finish, found))

    def _check_missing(self, items: list[Value], entries: list[Value | None]) -> None:
        """The client takes the index of a missing item for one of the items, and removes that; else it writes null."""
        numbers = {entry.value for entry in entries if entry is not None and isinstance(entry.value, int | float)}
        for index, entry in enumerate(entries):
            if entry is None and index in numbers:
                raise items[index].error("the ClearML client removes a missing item where the list holds its index")

    def _entry(self, value: Value) -> Value | None:
        """An entry, computed if it was not; None where it vanishes."""
        if not isinstance(value.value, Delayed):
            return value
        found = self._upto(value)
        if found is None:
            return None
        try:
            self._charge(self._finish(found), value)
        except _Cycle:
            if _optional(value) and not self._client:
                return None
            raise value.error("the value contains itself") from None
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
        result = self._layered(value, layers, count)
        delayed.busy = before
        self._computing.pop()
        self._depth -= 1
        delayed.results[count] = result
        return result

    def _layered(self, value: Value, layers: list[Value], count: int) -> Value | None:
        """What the ``count`` oldest layers come to: the newest that is no object, or the objects that are newer."""
        objects: list[tuple[Value, bool]] = []
        if self._client and count > 1:
            _check_layers(layers[:count], value)
        missing = False
        for value.value.busy in range(count - 1, -1, -1):
            layer = layers[value.value.busy]
            found = self._layer(layer, value)
            if found is None or (self._client and _is_nothing(found, layer, count)):
                if missing and self._client:
                    raise layer.error(SEVERAL_MISSING)
                missing = True
                continue
            missing = False
            if type(found.value) is not dict:
                if self._client:
                    self._check_hidden(layers, value)
                return self._stacked(value, objects, found) if objects else found
            objects.append((found, _borrowed(layer)))
        if objects:
            return self._stacked(value, objects, layers[0].overridden if hides(layers[0]) else None)
        if self._client and count > 1:
            raise value.error(SEVERAL_MISSING)
        return None

    def _stacked(self, value: Value, objects: list[tuple[Value, bool]], hidden: Value | None) -> Value:
        """The objects of layers, newest first, as one, which remembers the other value that they hide."""
        result = objects[0][0] if len(objects) == 1 else self._merged(value, objects[::-1])
        if hidden is not None or self._client:
            result = result.replaced(result.value)
            result.overridden = hidden if not self._client else None
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
        parts = self._parts(concatenation)
        values = [part for part, _ in parts if isinstance(part, Value)]
        if not values:
            return None
        nulls = [part for part, named in parts if not named and isinstance(part, Value) and part.value is None]
        if self._client and nulls and len(values) > 1:
            raise layer.error("null beside another value: the ClearML client cannot read this")
        if concatenation.extends and kind_of(values[0]) is not dict:
            raise layer.error("the ClearML client cannot put a substitution of another kind after an object")
        if len(concatenation.parts) == 1:
            return layer.replaced(values[0].value, values[0].text)
        kinds = {kind_of(value) for value in values}
        if kinds == {dict}:
            return self._merged(layer, [(part, named) for part, named in parts if isinstance(part, Value)])
        self._charge(sum(len(value.value) * VALUE_COST if kind_of(value) is list else len(written(value))
                         for value in values if kind_of(value) is not dict), layer)  # fmt: skip
        joined = join([part for part, _ in parts], values[0])
        return layer.replaced(joined.value, joined.text)

    def _parts(self, concatenation: Concatenation) -> list[tuple[Value | str, bool]]:
        """The parts that there are, and of each whether a substitution found it.

        For the client null is nothing, what is missing takes the white space after it along, and a quoted string that
        comes to be the last one that after itself.
        """
        parts: list[tuple[Value | str, bool]] = []
        missing = False
        for part in concatenation.parts:
            if isinstance(part, Substitution):
                found = self._lookup(part)
                missing = found is None or (self._client and found.value is None and len(concatenation.parts) > 1)
                if found is not None and not missing:
                    if self._client and kind_of(found) is str and part is not concatenation.parts[-1]:
                        found = found.replaced(written(found), found.text)  # the client makes text of all but the last
                    parts.append((found, True))
            elif not (missing and self._client and isinstance(part, str)):
                missing = False
                parts.append((part, False))
        if self._client and len(parts) > 1 and isinstance(parts[-1][0], str):
            last, named = parts[-2]
            if isinstance(last, Value) and isinstance(last.value, str) and last.text is None and not named:
                parts.pop()
        return parts

    def _lookup(self, substitution: Substitution) -> Value | None:
        """What a path leads to: in the tree, else in the environment.

        :raises HoconError: where it leads nowhere and is not optional.
        """
        for root in substitution.roots:
            found = self._at(root + substitution.path)
            if self._client:
                self._check_found(substitution, found)
            if found is not None and not (substitution.optional and self._contains(found)):
                return found
        environment = self._optional if substitution.optional else self._environment
        variable = environment.get(".".join(substitution.path))
        if variable is not None:
            return substitution.value(variable)
        if substitution.optional:
            return None
        where = "" if self._with_environment else "; variables are not read here"
        raise substitution.error(f"the substitution finds nothing, or itself{where}")

    def _contains(self, value: Value) -> bool:
        """Whether a value contains the entry that is being computed, so that its optional substitution finds nothing.

        What that entry waits for may stand elsewhere, and is what it is.
        """
        return id(value.value) in self._open and len(self._computing) == 1

    def _at(self, path: Where) -> Value | None:
        value: Value | None = self._root
        for number, key in enumerate(path, 1):
            if value is None:
                return None
            if not isinstance(value.value, dict):
                if self._client:
                    raise value.error("the ClearML client cannot look for a key in what is no object")
                return None
            entry = value.value.get(key)
            if self._client and entry is not None and isinstance(entry.value, Delayed):
                if entry.value.busy < 0:
                    _check_forward(entry, last=number == len(path))
                else:
                    self._check_look_back(entry, path)
            value = self._upto(entry) if entry is not None else None
        return value

    def _check_found(self, substitution: Substitution, found: Value | None) -> None:
        if found is not None and self._contains(found):
            raise substitution.error("the value contains itself")
        own = substitution.optional and substitution.path[0] == substitution.own
        if own and (found is None or found.value is None):
            raise substitution.error("the ClearML client cannot read an optional substitution of its own key")

    def _check_look_back(self, entry: Value, path: Where) -> None:
        """The client finds an earlier value of a key only where that waits for nothing but the key itself; below the
        root, only where it is not empty either.
        """
        layers = entry.value
        if not isinstance(layers, Layers) or not layers.busy or layers.busy in layers.results:
            return
        below = layers.items[layers.busy - 1]
        if isinstance(below.value, Concatenation):
            bottom = len(path) == 1 and layers.busy == 1
            fine = not bottom and all(part.path == path for part in below.value.substitutions())
        else:
            fine = len(path) == 1 or bool(below.value)
        if not fine:
            raise entry.error("the ClearML client cannot find an earlier value of this key")

    def _check_hidden(self, layers: list[Value], owner: Value) -> None:
        """The client computes what a substitution hides, too, as far down as there are substitutions."""
        layer = layers[owner.value.busy]
        while owner.value.busy > 0 and isinstance(layer.value, Concatenation) and not _refers_to_itself(layer):
            owner.value.busy -= 1
            layer = layers[owner.value.busy]
            if isinstance(layer.value, Concatenation):
                if _refers_to_itself(layer):
                    raise layer.error("the ClearML client cannot hide a value that refers to itself")
                self._layer(layer, owner)

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
        if hides(new):
            return new.over(old)
        if isinstance(old.value, dict) and isinstance(new.value, dict):
            return self._merged(old, [(old, False), (new, borrowed)])
        if isinstance(new.value, Delayed) or (isinstance(new.value, dict) and isinstance(old.value, Delayed)):
            own = new.value.items if isinstance(new.value, Layers) and not borrowed else [new]
            return new.replaced(Layers([old, *own]))
        if self._client and isinstance(new.value, dict):
            return new  # of what an object replaces nothing is left: it merges with any object before
        return new if new.overridden else Value.over(new, old)


def _check_layers(layers: list[Value], value: Value) -> None:
    """Of the client: what may not be below another value. It comes back to one of several substitutions, and puts it
    over what hides it.
    """
    if _refers_to_itself(layers[0]):
        raise value.error("the ClearML client cannot read a value after one that refers to itself")
    for layer, above in pairwise(layers):
        both = isinstance(layer.value, Concatenation) and isinstance(above.value, Concatenation)
        if both and len(layer.value.substitutions()) > 1:
            raise above.error("the ClearML client would put the value of several substitutions over this one")


def _borrowed(layer: Value) -> bool:
    """Whether a layer's object is the very object of another key."""
    return isinstance(layer.value, Concatenation) and len(layer.value.parts) == 1


def _is_nothing(found: Value, layer: Value, count: int) -> bool:
    """Of the client: whether this is a null that a substitution found, which is nothing."""
    if found.value is None and count > 1:
        raise layer.error("the ClearML client cannot read null before or after a substitution")
    return found.value is None and isinstance(layer.value, Concatenation) and len(layer.value.parts) == 1


def _check_forward(entry: Value, *, last: bool) -> None:
    """What comes later in the text: the client finds no key within its substitution, and never comes back to one of
    several substitutions, so that an object of the parser stays in its configuration.
    """
    top = entry.value.items[-1] if isinstance(entry.value, Layers) else entry
    if not last:
        raise entry.error("the ClearML client looks for a key here before it knows the object")
    if isinstance(top.value, Concatenation) and len(top.value.substitutions()) > 1:
        raise entry.error("the ClearML client must know a value of several substitutions before others name it")


def _refers_to_itself(layer: Value) -> bool:
    """In the dialect ``pyhocon``: whether a substitution leads to the key of the root that it stands in."""
    content = layer.value
    return isinstance(content, Concatenation) and any(
        part.own in ("", part.path[0]) for part in content.substitutions()
    )


def _optional(value: Value) -> bool:
    """Whether a value is made of optional substitutions only, so that a cycle makes it vanish."""
    content = value.value
    return isinstance(content, Concatenation) and all(
        isinstance(part, str) or (isinstance(part, Substitution) and part.optional) for part in content.parts
    )


