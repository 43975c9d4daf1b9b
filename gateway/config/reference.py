"""The reference page of the configuration, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from .describe import Key, Kind, Part, describe, parts
from .schema.shape import leaves
from .schema.units import duration_text, size_text
from .spellings import NATIVE, ROOT, SPELLINGS

_HEAD: Final = """\
# Configuration reference

Every key, made by `ldap-gateway config schema --format markdown`. How files, variables and secrets are written, and
which layer wins, is told in [configuration.md](configuration.md).

- A **duration** is a number of seconds, or `90s`, `5m`, `1h30m`, `30 days`.
- A **size** is a number of bytes, or `64 KiB`, `1 MiB`.
- A **path** belongs to the directory of the file that names it.
- A **secret** `k` may instead be given as `k_file`: the path of a file that holds it.
- A **list** of one may be written without brackets.
- `[]` behind a name stands for each of a list of tables, `NAME` for a name of your own.
- **restart**: a change is applied when the daemon starts, not by a reload.
"""
_SPELLED_HEAD: Final = """\
## ClearML's names

Accepted in every layer. They address the server named `ldap`.

| ClearML's name | key here |
|---|---|
"""
_FIXED_USER: Final = {
    "username": "`users[].username`",
    "name": "`users[].name`",
    "email": "`users[].email`",
    "company": "no effect: local users have the default company",
    "password": "`users[].password_hash`, made from the password",
    "admin": '`users[].clearml_role = "admin"`',
}
_OTHERS: Final = {
    "provider": "only `ldap` is accepted",
    "pass_hashed": "the passwords of `users` are the base64 of bcrypt hashes",
    **{f"users.*.{name}": text for name, text in _FIXED_USER.items()},
}
"""What ``apiserver.auth.fixed_users`` has besides the rows of ``SPELLINGS``."""
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def reference() -> str:
    """The whole page."""
    sections = (_section(part) for part in parts(describe()) if any(isinstance(entry, Key) for entry in part.entries))
    return "\n".join([_HEAD, *sections, _SPELLED_HEAD + "".join(_spelled_rows())])


def _section(part: Part) -> str:
    lines = [f"## {f'`{part.path}`' if part.path else 'Top level'}", ""]
    if part.path:
        lines += [part.text, ""]
    lines += ["| key | type | default | restart | meaning |", "|---|---|---|---|---|"]
    for key in part.entries:
        if isinstance(key, Key):
            cells = (f"`{key.name}`", _type(key), _default(key), "yes" if key.restart else "", key.text)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _type(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices)
    bounds = [f"{words} {_number(key.kind, key.bounds[word])}" for word, words in _BOUNDS.items() if word in key.bounds]
    if "max_length" in key.bounds:
        bounds.append(f"at most {key.bounds['max_length']} characters")
    return ", ".join([str(key.kind), *bounds])


def _number(kind: Kind, value: float) -> str:
    if value and kind in (Kind.DURATION, Kind.INTERVAL):
        return str(duration_text(value))
    return str(size_text(int(value))) if kind is Kind.SIZE else str(value)


def _default(key: Key) -> str:
    if key.default_words or key.default is None:
        return key.default_words
    bare = key.kind in (Kind.DURATION, Kind.INTERVAL, Kind.SIZE)
    return "" if key.kind is Kind.SECRET else f"`{key.default if bare else _json(key.default)}`"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _spelled_rows() -> Iterator[str]:
    ours = {".".join(row.spelled): ".".join(row.key) for row in SPELLINGS}
    for path, _ in leaves(ROOT):
        name = ".".join(path)
        if path[0] in NATIVE.keys:
            continue
        if name in ours:
            key = f"`{ours[name].replace('*', 'NAME')}`" if ours[name] else "no effect"
        elif path[-1] == "*":
            key = "`servers.ldap.attributes.extra.NAME`"
        else:
            key = _OTHERS[name.removeprefix("apiserver.auth.fixed_users.")]
        yield f"| `{name.replace('users.*', 'users[]').replace('*', 'NAME')}` | {key} |\n"
