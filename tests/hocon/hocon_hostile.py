"""A child with little memory: reads ``name``, ``dialect`` and a text as a JSON line, says what came of it and how long it took."""

from __future__ import annotations

import json
import resource
import sys
import time

from gateway.hocon import HoconError, Limits, parse, plain, render

LIMITS = Limits(values=200_000)
"""Above the default, so that each text meets the bound that is meant for it."""
ROOM = 192 * 1024 * 1024
"""Bytes of address space above what the child has when it starts: a text of 1 MiB may make 200,000 values."""


def main() -> None:
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    for line in sys.stdin:
        dialect, text = json.loads(line)
        started = time.perf_counter()
        try:
            root = parse(text, dialect=dialect, limits=LIMITS)
            spent = time.perf_counter() - started
            render(root)
            plain(root)
            outcome = "value"
        except HoconError as error:
            spent = time.perf_counter() - started
            outcome = error.message if len(str(error)) < 400 else "the message quotes the text"
        except Exception as error:  # MemoryError, RecursionError: what must not be
            spent, outcome = 0.0, f"raised {type(error).__name__}"
        print(json.dumps([outcome, spent]), flush=True)


if __name__ == "__main__":
    main()
