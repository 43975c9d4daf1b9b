"""HOCON: our reader against pyhocon on texts of 2 KB, 50 KB and 100 x 2 KB merged, and its growth to 1 MB (perf.md E).

``vaults`` is the merge of ClearML vaults, read as clients read them, with an origin for each key; the aim is 50.

The baseline is pyhocon 0.3.63 in its faster way to merge (``ConfigTree.merge_configs``). Run it with
``python -m bench hocon``. Takes about twenty seconds, nearly all of them pyhocon's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce

import pyhocon

from gateway.hocon import Limits, merge, parse, plain
from gateway.vaults.merge import Source
from gateway.vaults.merge import merge as merge_vaults

MAPPINGS = 20_000
LARGE = Limits(size=4 * 1024 * 1024, values=1_000_000)
"""As an operator's file may be; a vault is a hundredth of it."""


def document(size: int, seed: int = 0) -> str:
    """Sections as a configuration has them: names, strings, numbers, lists, comments, dotted keys."""
    lines: list[str] = []
    length, number = 0, seed
    while length < size:
        lines.append(f"""section_{number} {{  # number {number}
  url = "https://host{number}.example.com/path", retries = {number % 7}, ratio = 0.{number % 90 + 10}
  enabled = {"true" if number % 2 else "false"}
  tags = [alpha, "beta gamma", {number}]
  nested {{ name = value-{number}, "quoted key" = null }}
}}
other.key_{number} = some unquoted text
""")
        length += len(lines[-1])
        number += 1
    return "".join(lines)


def mappings(count: int) -> str:
    """A list of group mappings, as a large organisation has them."""
    row = '  {{ group_dn = "cn=g{},ou=groups,dc=example,dc=com", clearml_role = "user" }}'
    return "group_mappings = [\n" + ",\n".join(row.format(number) for number in range(count)) + "\n]\n"


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def theirs(text: str) -> object:
    return pyhocon.ConfigFactory.parse_string(text).as_plain_ordered_dict()


def their_merge(texts: list[str]) -> object:
    trees = [pyhocon.ConfigFactory.parse_string(text) for text in texts]
    return reduce(pyhocon.ConfigTree.merge_configs, trees).as_plain_ordered_dict()


def compare(name: str, ours: Callable[[], object], rival: Callable[[], object]) -> None:
    """Both times and the ratio; both must come to the same tree."""
    if ours() != rival():
        raise AssertionError(f"{name}: the readings differ")
    mine, other = seconds(ours), seconds(rival, 1)
    print(f"{name:16} {mine * 1000:10.2f} ms   pyhocon {other * 1000:10.1f} ms   ratio {other / mine:8.0f}")


def main() -> None:
    for name, size in (("2 KB", 2_000), ("50 KB", 50_000)):
        text = document(size)
        compare(name, lambda text=text: plain(parse(text)), lambda text=text: theirs(text))  # type: ignore[misc]
    texts = [document(2_000, seed) for seed in range(100)]
    compare("100 x 2 KB", lambda: plain(merge([parse(text) for text in texts])), lambda: their_merge(texts))
    vaults = [Source(str(number), text) for number, text in enumerate(texts)]
    compare("vaults 100 x 2KB", lambda: merge_vaults(vaults).tree, lambda: their_merge(texts))
    for size in (64, 256, 1024):
        text = document(size * 1024)[: size * 1024].rpartition("section_")[0]
        spent = seconds(lambda text=text: parse(text, limits=LARGE), 3)  # type: ignore[misc]
        print(f"{size:5} KiB        {len(text) / spent / 1e6:10.2f} million characters/s")
    text = mappings(MAPPINGS)
    spent = seconds(lambda: parse(text, limits=LARGE), 3)
    print(f"{MAPPINGS:,} group mappings ({len(text) / 1e6:.1f} MB) in {spent:.3f} s")
