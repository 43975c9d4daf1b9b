"""Another parser in a child process, as a judge: one JSON line in (the text), one out.

That is the tree, null for an error, or ``HANG`` where the parser does not come back.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CLIENT_PYTHON = Path(__file__).parents[2] / ".venvs/clearml-2.1.12/bin/python"
HANG = "hangs"
SECONDS = 5
"""For one text. The texts here are read in a few milliseconds."""
CHILD = """
import importlib, json, logging, signal, sys
logging.disable(logging.CRITICAL)
package = importlib.import_module(sys.argv[1])
trees = importlib.import_module(sys.argv[1] + ".config_tree")

class Hang(BaseException):
    pass

def alarm(*_):
    raise Hang

signal.signal(signal.SIGALRM, alarm)

def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in dict.items(value)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, trees.NoneValue):
        return None
    return value if isinstance(value, (str, int, float)) else "TIME VALUE"

print("ready", flush=True)
for line in sys.stdin:
    try:
        signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
        try:
            tree = plain(package.ConfigFactory.parse_string(json.loads(line)))
        except Exception:
            tree = None
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Hang:
        tree = sys.argv[3]
    print(json.dumps(tree), flush=True)
"""


class Oracle:
    """A child that reads texts until it is left."""

    def __init__(self, python: Path | str, package: str, environment: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._child = subprocess.Popen(
            [python, "-W", "ignore", "-c", CHILD, package, str(seconds), HANG],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8",
        )  # fmt: skip
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline()

    def read(self, text: str) -> Any:
        """The tree of a text; None where the parser refuses it, HANG where it does not come back."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(text) + "\n")
        self._child.stdin.flush()
        return json.loads(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._child.communicate()
