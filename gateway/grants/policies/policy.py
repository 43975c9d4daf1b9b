"""What the words of a policy document mean: rules, each with a pattern of paths and the rights on them (vault.md 9.1).

Refused here although a Vault accepts them are ``control_group`` and ``mfa_methods``: they narrow a rule, and a reader
that passes over them would give more than was meant.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gateway.grants.policies.document import Block, Item, PolicyError, Value, read


class Capability(StrEnum):
    """What a rule allows to do on a path."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    SUDO = "sudo"
    PATCH = "patch"
    SCAN = "scan"
    DENY = "deny"


_CAPABILITIES: Final = {capability.value for capability in Capability}
DENIED: Final = frozenset({Capability.DENY})
_READ: Final = frozenset({Capability.READ, Capability.LIST})
_WRITE: Final = _READ | {Capability.CREATE, Capability.UPDATE, Capability.DELETE}
_OLD_FORM: Final = {"deny": DENIED, "read": _READ, "write": _WRITE, "sudo": _WRITE | {Capability.SUDO}}

ENTITY: Final = "identity.entity.id"
"""What templates may name. Other names of a Vault are not unique here, where each server has an ada of its own, and a
deny that is never filled would deny nothing."""
_TEMPLATE: Final = re.compile(rf"\{{\{{\s*({re.escape(ENTITY)})\s*\}}\}}")
_DURATION: Final = re.compile(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")

_MOST_SEGMENTS: Final = 1000
_SHORT: Final = 4096
"""Characters of a document up to which its rules are remembered."""

Values = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The paths a rule is about."""

    segments: tuple[str | None, ...]
    """What stands between slashes; None for ``+``, which is any one segment."""
    prefix: bool
    """Whether anything may follow: the path ends in ``*``."""

    @property
    def text(self) -> str:
        """As it was written, without the ``*`` at its end."""
        return "/".join("+" if segment is None else segment for segment in self.segments)

    def fill(self, values: Mapping[str, str]) -> Pattern | None:
        """With values for its templates, taken literally. None where one is missing, empty or has a slash in it."""
        filled: list[str | None] = []
        for segment in self.segments:
            names = _TEMPLATE.findall(segment or "")
            if any(not values.get(name) or "/" in values[name] for name in names):
                return None
            filled.append(segment and _TEMPLATE.sub(lambda match: values[match[1]], segment))
        return Pattern(tuple(filled), self.prefix)

    @property
    def widened(self) -> Pattern:
        """With any text where its templates stand: all that it could become."""
        segments = (None if segment is not None and "{{" in segment else segment for segment in self.segments)
        return Pattern(tuple(segments), self.prefix)


@dataclass(frozen=True, slots=True)
class Rights:
    """What one rule gives, or several of them on the same pattern.

    Names of parameters are lower-case; an empty tuple of values stands for any value.
    """

    capabilities: frozenset[Capability] = frozenset()
    allowed: Mapping[str, Values] = field(default_factory=dict)
    denied: Mapping[str, Values] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    min_wrapping: int = 0
    """Seconds; 0: no bound. A request that is not wrapped fits no bound."""
    max_wrapping: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``path`` block."""

    pattern: Pattern
    rights: Rights

    @property
    def templated(self) -> bool:
        """Whether the pattern differs from one identity to another."""
        return any(segment is not None and "{{" in segment for segment in self.pattern.segments)


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of a policy document. Raises ``PolicyError``, worded as Vault words it where clients may look.

    Every load of a configuration reads all of them, twice; short ones, which is most, are remembered.
    """
    return _remembered(text) if len(text) <= _SHORT else _parse(text)


def _parse(text: str) -> tuple[Rule, ...]:
    try:
        return tuple(_rules(read(text)))
    except PolicyError as error:
        raise PolicyError(f"failed to parse policy: {error}") from None


_remembered: Final = lru_cache(maxsize=4096)(_parse)


def decode(text: str) -> str:
    """The document in what a client sent, which may be base64 of it (vault.md 9.1)."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return text


def _rules(document: Block) -> Iterator[Rule]:
    for item in document.items:
        if item.keys[0] == "path":
            for path, value, at in _paths(item):
                try:
                    yield _rule(path, value, at)
                except PolicyError as error:
                    raise PolicyError(f'path "{path[:_SHORT]}": {error}') from None
        elif item.keys != ("name",):
            raise PolicyError(_invalid_key(item))


def _paths(item: Item) -> Iterator[tuple[str, Value, Item]]:
    """``path "a" {...}`` of HCL; ``"path": {"a": {...}}``, each level also as a list, of JSON."""
    if len(item.keys) == 2:
        yield item.keys[1], item.value, item
    elif len(item.keys) > 2:
        raise PolicyError(f"path takes one label{_where(item)}")
    else:
        for block in _each(item.value):
            if not isinstance(block, Block):
                raise PolicyError(f"path needs a label{_where(item)}")
            for inner in block.items:
                if len(inner.keys) > 1:
                    raise PolicyError(f"path takes one label{_where(inner)}")
                for value in _each(inner.value):
                    yield inner.keys[0], value, inner


def _each(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _rule(path: str, value: Value, item: Item) -> Rule:
    if not isinstance(value, Block):
        raise PolicyError(f"a block of settings is expected{_where(item)}")
    pattern = _pattern(path, item)
    settings = _settings(value)
    capabilities = _capabilities(settings)
    if Capability.DENY in capabilities:
        return Rule(pattern, Rights(DENIED))
    rights = Rights(
        capabilities,
        _parameters(settings, "allowed_parameters"),
        _parameters(settings, "denied_parameters"),
        frozenset(name.lower() for name in _texts(settings, "required_parameters")),
        _duration(settings, "min_wrapping_ttl"),
        _duration(settings, "max_wrapping_ttl"),
    )
    if 0 < rights.max_wrapping < rights.min_wrapping:
        where = _where(settings["max_wrapping_ttl"])
        raise PolicyError(f"max_wrapping_ttl cannot be less than min_wrapping_ttl{where}")
    return Rule(pattern, rights)


_SETTINGS: Final = {
    "comment", "policy", "capabilities", "allowed_parameters", "denied_parameters", "required_parameters",
    "min_wrapping_ttl", "max_wrapping_ttl",
}  # fmt: skip


def _settings(block: Block) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for item in block.items:
        key = item.keys[0]
        if key not in _SETTINGS or len(item.keys) > 1:
            raise PolicyError(_invalid_key(item))
        if key in found:
            raise PolicyError(
                f'The argument "{key}"{_where(item)} was already set. Each argument can only be defined once'
            )
        found[key] = item
    return found


def _pattern(path: str, item: Item) -> Pattern:
    path = path.removeprefix("/")
    if "+*" in path:
        raise PolicyError(f"invalid use of wildcards ('+*' is forbidden){_where(item)}")
    if any(mark in _TEMPLATE.sub("", path) for mark in ("{{", "}}")):
        raise PolicyError(f"failed to validate policy templating: only {{{{{ENTITY}}}}} can be filled{_where(item)}")
    segments = path.removesuffix("*").split("/")
    if len(segments) > _MOST_SEGMENTS:
        raise PolicyError(f"a path has at most {_MOST_SEGMENTS} segments{_where(item)}")
    return Pattern(tuple(None if segment == "+" else segment for segment in segments), path.endswith("*"))


def _capabilities(settings: Mapping[str, Item]) -> frozenset[Capability]:
    found: set[Capability] = set()
    if (old := settings.get("policy")) is not None and old.value != "":
        if not isinstance(old.value, str) or old.value not in _OLD_FORM:
            raise PolicyError(f"invalid policy {_shown(old.value)}{_where(old)}")
        found |= _OLD_FORM[old.value]
    for name in _texts(settings, "capabilities"):
        if name not in _CAPABILITIES:
            raise PolicyError(f'invalid capability "{name}"{_where(settings["capabilities"])}')
        found.add(Capability(name))
    return frozenset(found)


def _texts(settings: Mapping[str, Item], key: str) -> list[str]:
    if key not in settings:
        return []
    value = settings[key].value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PolicyError(f"{key} must be a list of strings{_where(settings[key])}")
    return value


def _parameters(settings: Mapping[str, Item], key: str) -> dict[str, Values]:
    if key not in settings:
        return {}
    block = settings[key].value
    if not isinstance(block, Block):
        raise PolicyError(f"{key} must be a block{_where(settings[key])}")
    found: dict[str, Values] = {}
    for item in block.items:
        name = item.keys[0].lower()
        if len(item.keys) > 1 or not isinstance(item.value, list):
            raise PolicyError(f"{key}: {name} must be a list{_where(item)}")
        if name in found:
            raise PolicyError(f'{key}: "{name}" is given twice{_where(item)}')
        found[name] = tuple(item.value)
    return found


def _duration(settings: Mapping[str, Item], key: str) -> int:
    """Whole seconds of a number, or of text such as ``90``, ``5m`` or ``1h30m``."""
    if key not in settings:
        return 0
    value = settings[key].value
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    match = _DURATION.fullmatch(f"{text}s" if text.isdecimal() else text)
    if match is None or not text:
        raise PolicyError(f"error parsing {key}{_where(settings[key])}")
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _invalid_key(item: Item) -> str:
    return f'invalid key "{item.keys[0]}"' + (f" on line {item.at.line}" if item.at else "")


def _where(item: Item) -> str:
    return f" at {item.at}" if item.at else ""


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else type(value).__name__
