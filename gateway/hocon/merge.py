"""Objects merge, everything else replaces (HOCON, Duplicate keys and object merging)."""

from __future__ import annotations

from collections.abc import Sequence

from .delayed import Append, Concatenation, Delayed, Layers
from .values import Source, Value


def put(fields: dict[str, Value], key: str, new: Value) -> None:
    """Give a key a value after those it has. Objects and lists among these are changed in place."""
    old = fields.get(key)
    if old is None:
        fields[key] = new
    elif new.overridden is not None and hides(new):
        fields[key] = new.over(old)
    elif type(old.value) is dict and type(new.value) is dict:
        put_all(old.value, new.value)
    elif type(old.value) is list and type(new.value) is Append:
        old.value.extend(new.value.items)
    elif isinstance(new.value, Delayed) or (type(new.value) is dict and isinstance(old.value, Delayed)):
        fields[key] = _stacked(old, new)
    else:
        fields[key] = new.over(old) if new.overridden else _override(new, old)


def put_all(fields: dict[str, Value], more: dict[str, Value]) -> None:
    """Put every entry of another object."""
    for key, value in more.items():
        put(fields, key, value)


def hides(value: Value) -> bool:
    """Whether a value is an object that replaced another kind of value, so that it merges with nothing before that
    (HOCON, Duplicate keys and object merging: the null between two objects).
    """
    bottom = value.value.items[0] if type(value.value) is Layers else value
    lost = bottom.overridden
    return type(bottom.value) is dict and lost is not None and not isinstance(lost.value, dict | Delayed)


def _override(new: Value, old: Value) -> Value:
    new.overridden = old
    return new


def _stacked(old: Value, new: Value) -> Value:
    """A value of both layers. The newest layers grow in place, so that 100,000 ``+=`` stay linear."""
    items = old.value.items if type(old.value) is Layers else [old]
    for layer in new.value.items if type(new.value) is Layers else [new]:
        top = items[-1].value
        if type(top) is dict and type(layer.value) is dict:
            put_all(top, layer.value)
        elif type(top) in (list, Append) and type(layer.value) is Append:
            (top if type(top) is list else top.items).extend(layer.value.items)
        else:
            layer.overridden = layer.overridden or items[-1]
            items.append(layer)
    if type(old.value) is Layers:
        return old
    return items[0] if len(items) == 1 else new.replaced(Layers(items))


def join(parts: Sequence[Value | str], at: Value) -> Value:
    """What values side by side come to, at the place of ``at``. Strings among them are the white space between.

    :raises HoconError: for objects, lists and others among each other.
    """
    values = [part for part in parts if isinstance(part, Value)]
    kinds = {kind_of(value) for value in values}
    if len(parts) == 1 or (len(values) == 1 and kinds != {str}):
        return at.replaced(values[0].value, values[0].text)
    if len(kinds) > 1:
        raise values[1].error("objects, lists and strings cannot be joined with each other")
    if kinds == {dict}:
        fields: dict[str, Value] = {}
        for value in values:
            put_all(fields, value.value)
        return at.replaced(fields)
    if kinds == {list}:
        return at.replaced([item for value in values for item in value.value])
    text = "".join(part if isinstance(part, str) else written(part) for part in parts)
    quoted = any(value.text is None for value in values)
    return at.replaced(text, None if quoted else text)


def kind_of(value: Value) -> type:
    """``dict``, ``list``, or ``str`` for everything that joins to a string."""
    kind = type(value.value)
    return kind if kind in (dict, list) else str


def written(value: Value) -> str:
    """A scalar as part of a string (HOCON, String value concatenation)."""
    content = value.value
    if value.text is not None:
        return value.text
    if content is None:
        return "null"
    return str(content).lower() if isinstance(content, bool) else str(content)


def merge(values: Sequence[Value]) -> Value:
    """One object of many, the later winning; in time linear in their total size. The inputs stay as they are.

    As ``withFallback`` of the reference does: an object that replaced a null or another value (``Value.overridden``)
    hides the objects of its key in what came before.
    """
    result: dict[str, Value] = {}
    for value in values:
        if not isinstance(value.value, dict):
            raise value.error("only objects can be merged")
        put_all(result, {key: copied(item) for key, item in value.value.items()})
    return values[0].replaced(result) if values else Value(result, Source(""), 0)


def copied(value: Value) -> Value:
    """A copy whose objects, lists and layers may be changed."""
    content = value.value
    if type(content) is dict:
        return value.replaced({key: copied(item) for key, item in content.items()})
    if type(content) is list:
        return value.replaced([copied(item) for item in content])
    if type(content) is Layers:
        return value.replaced(Layers([copied(item) for item in content.items]))
    if type(content) is Append:
        return value.replaced(Append([copied(item) for item in content.items]))
    if type(content) is Concatenation:
        parts = [copied(part) if isinstance(part, Value) else part for part in content.parts]
        return value.replaced(Concatenation(parts))
    return value.replaced(content, value.text)
