"""The configuration as JSON Schema (draft 2020-12), for editors.

It accepts what the loader accepts: numbers and texts for durations and sizes, ``k_file`` beside a secret ``k``,
null everywhere (which removes what an earlier layer gave), lists by name or index, ClearML's spellings. Of what the
loader refuses it finds unknown keys, wrong types, words that are not allowed and numbers out of bounds.
"""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from .describe import Key, Kind, Part, describe, parts
from .schema import Server
from .schema.access import Operator
from .schema.fields import Form
from .schema.shape import Leaf, Node, Tables
from .schema.units import LONGEST_SECONDS
from .spellings import NATIVE, ROOT, SPELLINGS
from .vault_fields import FIELDS, VAULT

Json = dict[str, Any]

_INDEX: Final = "^[0-9]{1,6}$"
_NUMBER: Final = r"[0-9]{1,15}(\.[0-9]{1,9})?"
_TIMES: Final = "ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?"
_SIZES: Final = "b|bytes?|[kmg](i?b)?"


def _any_case(pattern: str) -> str:
    """The pattern for small and capital letters alike: patterns of JSON Schema have no flags."""

    def both(found: re.Match[str]) -> str:
        letters = found[0].strip("[]")
        return f"[{letters}{letters.upper()}]"

    return re.sub(r"\[[a-z]+\]|[a-z]", both, pattern)


_DURATION: Final = rf"{_NUMBER}|({_NUMBER}\s*({_any_case(_TIMES)})\s*)+"
_TEXT: Final[Json] = {"type": ["string", "null"]}
_DURATIONS: Final[Json] = {"type": ["number", "string", "null"], "minimum": 0, "maximum": LONGEST_SECONDS}
_DEFINITIONS: Final[Json] = {
    "duration": {**_DURATIONS, "pattern": rf"^\s*({_DURATION})\s*$"},
    "interval": {**_DURATIONS, "pattern": rf"^\s*({_DURATION}|{_any_case('always|never')})\s*$"},
    "size": {
        "type": ["integer", "string", "null"],
        "minimum": 0,
        "pattern": rf"^\s*[0-9]{{1,15}}\s*({_any_case(_SIZES)})?\s*$",
    },
    "list": {
        "type": ["array", "string", "object", "null"],
        "items": {"type": "string"},
        "minProperties": 1,
        "patternProperties": {_INDEX: _TEXT},
        "additionalProperties": False,
    },
}


def _defined(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _map(item: Json) -> Json:
    return {"type": ["object", "null"], "additionalProperties": item}


def _items(item: Json) -> Json:
    return {"type": ["array", "integer", "string", "null"], "items": item}


_CONDITION: Final[Json] = {
    "type": "object",
    "properties": {"key": _TEXT, "operator": {"enum": list(get_args(Operator))}, "value": _TEXT},
    "required": ["key"],
    "additionalProperties": False,
}
_KINDS: Final[dict[Kind, Json]] = {
    Kind.TEXT: _TEXT,
    Kind.SECRET: {**_TEXT, "writeOnly": True},
    Kind.CHOICE: {},
    Kind.TLS_VERSION: {**_TEXT, "pattern": rf"^{_any_case('tls')}1\.[0-3]$"},
    Kind.FLAG: {"type": ["boolean", "null"]},
    Kind.INT: {"type": ["integer", "null"]},
    Kind.DURATION: _defined("duration"),
    Kind.INTERVAL: _defined("interval"),
    Kind.SIZE: _defined("size"),
    Kind.PATH: _TEXT,
    Kind.URL: {**_TEXT, "pattern": rf"^\s*{_any_case('https?')}://"},
    Kind.AUDIT: {**_TEXT, "pattern": r"^(stderr|off|file:[\s\S]+)$"},
    Kind.STORE: {**_TEXT, "pattern": r"^(sqlite|sqlite:///[\s\S]+)$"},
    Kind.TEXTS: _defined("list"),
    Kind.PATHS: _defined("list"),
    Kind.ADDRESSES: _defined("list"),
    Kind.NETWORKS: _defined("list"),
    Kind.ORIGINS: _defined("list"),
    Kind.PORTS: _items({"type": ["integer", "string"]}),
    Kind.SUBJECTS: _items({"type": ["string", "array"], "items": {"type": "string"}}),
    Kind.CONDITIONS: _items({"anyOf": [_CONDITION, {"type": "array", "items": _CONDITION}]}),
    Kind.MAP: _map(_TEXT),
    Kind.MAPS: _map(_map(_TEXT)),
    Kind.NETWORK_MAP: _map(_defined("list")),
    Kind.TEXTS_MAP: _map(_defined("list")),
}
_FORMS: Final = {
    Form.SECRET: Kind.SECRET,
    Form.FLAG: Kind.FLAG,
    Form.INT: Kind.INT,
    Form.DURATION: Kind.DURATION,
    Form.TEXTS: Kind.TEXTS,
    Form.EXACT_TEXTS: Kind.TEXTS,
    Form.PATHS: Kind.PATHS,
}
"""Kinds of ClearML's spellings; others are texts."""
_WITHOUT_EFFECT: Final = frozenset((
    *(row.spelled for row in SPELLINGS if not row.key),
    *((field.name,) for field in FIELDS.values() if not field.key),
))  # fmt: skip
"""The loader passes over these, however they are written."""
_KEYWORDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}


def json_schema() -> Json:
    """The schema as plain JSON data."""
    whole = describe()
    definitions = {part.model: _table(part) for part in parts(whole) if part is not whole}
    definitions[Server.__name__]["properties"] |= _spelled(VAULT, ())["properties"]
    schema = _table(whole)
    spelled = {name: _spelled(node, (name,)) for name, node in ROOT.keys.items() if name not in NATIVE.keys}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ldap-gateway",
        "type": "object",
        "properties": {**schema["properties"], **spelled},
        "additionalProperties": False,
        "$defs": _DEFINITIONS | definitions,
    }


def _table(part: Part) -> Json:
    properties: Json = {}
    for entry in part.entries:
        properties[entry.name] = _key(entry) if isinstance(entry, Key) else _part(entry)
        if isinstance(entry, Key) and entry.kind is Kind.SECRET:
            properties[f"{entry.name}_file"] = _file_of(entry.name)
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _file_of(secret: str) -> Json:
    return {"type": "string", "minLength": 1, "description": f"Path of a file that holds `{secret}`."}


def _part(part: Part) -> Json:
    item = _defined(part.model)
    if part.holds == "table":
        return {**item, "description": part.text}
    schema: Json = {"type": ["object", "null"], "description": part.text, "additionalProperties": item}
    if part.holds == "list":
        schema |= {"type": ["array", "object", "null"], "items": {**item, "type": "object"}}
        if not part.key:
            schema |= {"additionalProperties": False, "patternProperties": {_INDEX: item}}
    return schema


def _key(key: Key) -> Json:
    text = f"{key.text} Default: {key.default_words}." if key.default_words else key.text
    schema = {**_KINDS[key.kind], "description": f"{text} A change needs a restart." if key.restart else text}
    if key.kind is Kind.CHOICE:
        schema["enum"] = [*dict.fromkeys((*key.choices, key.default)), None]
    elif key.kind is Kind.FLAG and key.default is None and not key.default_words:
        schema |= {"type": ["boolean", "string", "null"], "maxLength": 0}
    if key.kind is not Kind.SECRET and key.default is not None:
        schema["default"] = key.default
    return schema | {_KEYWORDS[bound]: value for bound, value in key.bounds.items()}


def _spelled(node: Node, path: tuple[str, ...]) -> Json:
    """What ClearML or Vault calls otherwise: only how it is written."""
    if isinstance(node, Leaf):
        written = _KINDS[_FORMS.get(node.form, Kind.TEXT)]
        if path in _WITHOUT_EFFECT:
            return {}
        key = next((".".join(row.key) for row in SPELLINGS if row.spelled == path), "")
        return {**written, "description": f"ClearML's name of `{key}`."} if key else written
    if isinstance(node, Tables):
        item = _spelled(node.item, (*path, "*"))
        return {"type": ["array", "object", "null"], "items": item, "additionalProperties": item}
    properties: Json = {}
    for name, child in node.keys.items():
        properties[name] = _spelled(child, (*path, name))
        if isinstance(child, Leaf) and child.form is Form.SECRET:
            properties[f"{name}_file"] = _file_of(name)
    other = False if node.other is None else _spelled(node.other, (*path, "*"))
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": other}
