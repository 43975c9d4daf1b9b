"""Random documents of few keys that refer to each other, to themselves and to what they are part of."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

KEYS = ["a", "b", "c", "a.b", "a.c", "b.c", "c.a", "b.a.c", "d"]
SCALARS = ["1", "-1", "1.50", "true", "null", "x", "t u", '""', '"x y"']


def documents(seed: int, count: int, paths: list[str] = KEYS) -> Iterator[str]:
    """The same for the same seed. ``paths`` are what substitutions name, most of them optional."""
    random = Random(seed)

    def value(depth: int) -> str:
        kind = random.random()
        if depth < 3 and kind < 0.22:
            return "{" + ", ".join(field(depth + 1) for _ in range(random.randint(0, 3))) + "}"
        if depth < 3 and kind < 0.34:
            return "[" + ", ".join(value(depth + 1) for _ in range(random.randint(0, 3))) + "]"
        if kind < 0.64:
            return "${" + random.choice(["", "?", "?"]) + random.choice(paths) + "}"
        if kind < 0.78:
            return value(depth) + random.choice(["", " "]) + value(depth)
        return random.choice(SCALARS)

    def field(depth: int) -> str:
        return random.choice(KEYS) + random.choice([" = "] * 5 + [" += "]) + value(depth)

    for _ in range(count):
        yield "\n".join(field(0) for _ in range(random.randint(1, 5))) + "\n"
