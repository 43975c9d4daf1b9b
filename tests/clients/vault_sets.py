"""Random sets of vaults as people write them, and how often each construct is in them (clearml.md 7.2, 7.3)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import yaml

CLIENT = {"VAULT_HOME": "/data/home", "VAULT_NAME": "ada"}
"""Variables that the client has; ``VAULT_NONE`` it has not."""
KEYS = ["queue", "uri", "level", "tags", "cache"]
SECTIONS = ["sdk.development", "sdk.storage", "agent", "api.more", "team"]
TEXTS = ["s3://bucket/x", "plain", "two words", "naïve 日本", "10 minutes", "a-b_c", "C:\\new", 'say "so"', "#x", "a=b@c?", ""]


@dataclass
class VaultSet:
    """Some vaults in order: their formats and texts as written."""

    vaults: list[tuple[str, str]] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)


def vault_sets(seed: int, count: int) -> Iterator[VaultSet]:
    """The same for the same seed."""
    random = Random(seed)
    for _ in range(count):
        made = VaultSet()
        for _ in range(random.randint(2, 6)):
            form = random.choice(["hocon"] * 6 + ["yaml", "yaml", "json"])
            made.used[form] += 1
            writer = _Hocon(random, made.used) if form == "hocon" else None
            text = writer.text() if writer else _document(random, made.used, form)
            made.vaults.append((form, text))
        yield made


def _document(random: Random, used: Counter[str], form: str) -> str:
    tree: dict[str, Any] = {}
    for _ in range(random.randint(1, 5)):
        node = tree
        for part in random.choice(SECTIONS).split("."):
            node = node.setdefault(part, {})
        node[random.choice(KEYS)] = _value(random, used, 0)
    if form == "json":
        return json.dumps(tree, indent=random.choice([None, 2]))  # é as \\u00e9, which the client would keep
    return str(yaml.safe_dump(tree, default_flow_style=random.choice([None, False]), allow_unicode=True))


def _value(random: Random, used: Counter[str], depth: int) -> Any:
    kind = random.random()
    if kind < 0.12:
        used["null"] += 1
        return None
    if kind < 0.27 and depth < 3:
        used["list"] += 1
        return [_value(random, used, depth + 1) or 7 for _ in range(random.randint(0, 3))]
    if kind < 0.42 and depth < 3:
        return {random.choice(KEYS): _value(random, used, depth + 1) for _ in range(random.randint(0, 3))}
    return random.choice([1, 0, -3, 1.5, 1e20, True, False, *TEXTS])


class _Hocon:
    """One text, a few lines of it at a time."""

    def __init__(self, random: Random, used: Counter[str]) -> None:
        self._random = random
        self._used = used
        self._known: list[str] = []
        """Paths at the root that hold a scalar, for substitutions."""

    def text(self) -> str:
        kinds = [self._field, self._field, self._section, self._substitution, self._append, self._variable, self._override, self._several]
        lines = [line for _ in range(self._random.randint(1, 6)) for line in self._random.choice(kinds)()]
        if self._random.random() < 0.04:
            self._used["lost"] += 1
            lines.append("broken = a@b")
        return "\n".join(lines) + self._random.choice(["\n", "", "\n\n# the end\n"])

    def _path(self) -> str:
        path = f"{self._random.choice(SECTIONS)}.{self._random.choice(KEYS)}"
        self._used["dotted key"] += 1
        return path

    def _scalar(self) -> str:
        choice = self._random.choice
        if self._random.random() < 0.1:
            self._used["null"] += 1
            return "null"
        return choice(["1", "007", "1.50", "true", "plain", "two words", "s3://bucket/y", '"quoted # text"', '"a\\tb"', '""', '"""t""" x', 'x """t\nu""" "y"'])

    def _any(self, depth: int = 0) -> str:
        kind = self._random.random()
        if kind < 0.2 and depth < 3:
            self._used["list"] += 1
            return "[" + ", ".join(self._any(depth + 1) for _ in range(self._random.randint(0, 3))) + "]"
        if kind < 0.35 and depth < 3:
            fields = [f"{self._random.choice(KEYS)} = {self._any(depth + 1)}" for _ in range(self._random.randint(0, 3))]
            return "{" + ", ".join(fields) + "}"
        return self._scalar()

    def _field(self) -> list[str]:
        return [f"{self._path()} {self._random.choice('=:')} {self._any()}"]

    def _section(self) -> list[str]:
        fields = [f"  {key} = {self._any(1)}" for key in self._random.sample(KEYS, self._random.randint(1, 3))]
        return [f"{self._random.choice(SECTIONS)} {{", *fields, "}"]

    def _substitution(self) -> list[str]:
        self._used["substitution"] += 1
        name = f"base{len(self._known)}"
        self._known.append(name)
        shape = self._random.choice(["${%s}", '"x-"${%s}', '${%s}"/y"', "${?%s}"])
        return [f"{name} = {self._random.choice(['b', '12', 'two words'])}", f"{self._path()} = {shape % name}"]

    def _append(self) -> list[str]:
        self._used["+="] += 1
        path = f"{self._random.choice(SECTIONS)}.more{self._random.randint(0, 3)}"
        first, more = self._random.choice([("[1, 2]", "[3]"), ("[1]", "4"), ('["a"]', '["b"]'), ("one", "two"), ("{a = 1}", "{b = 2}")])
        return [f"{path} = {first}", f"{path} += {more}"]

    def _variable(self) -> list[str]:
        self._used["client-side variable"] += 1
        shape = self._random.choice(["${VAULT_HOME}", '"s3://"${VAULT_NAME}"/x"', "${?VAULT_NAME}", "[${VAULT_NAME}, 2]"])
        return [f"{self._path()} = {shape}"]

    def _override(self) -> list[str]:
        self._used["client-side variable"] += 1
        self._used["missing variable"] += 1
        path = self._path()
        return [f"{path} = 1", f"{path} = ${{?VAULT_NONE}}"]

    def _several(self) -> list[str]:
        """Substitutions side by side, some of which find nothing."""
        self._used["several substitutions"] += 1
        self._used["missing variable"] += 1
        name = f"base{len(self._known)}"
        self._known.append(name)
        found, none = f"${{?{name}}}", "${?VAULT_NONE}"
        parts = self._random.choice([[found, none], [none, found], [found, " ", none], [none, none], ['"""t""" ', found], [found, found]])
        path = f"{self._path()}.several{len(self._known)}"  # over others of its kind it is refused
        return [f"{name} = {self._random.choice(['b', '12', 'true', 'two words'])}", f"{path} = {''.join(parts)}"]
