"""A client in a child process that is started once and asked many times: a line of JSON in, one out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class WarmChild:
    """``python`` of the client's own environment with ``script``, beside which the client may print what it likes."""

    def __init__(self, python: Path, script: Path, folder: Path, environment: Mapping[str, str]) -> None:
        assert python.exists(), "the client's environment is missing: make clients"
        self._child = subprocess.Popen(
            [python, "-W", "ignore", script], cwd=folder, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._child.stdin is not None and self._child.stdout is not None
        self._to, self._from = self._child.stdin, self._child.stdout
        assert self._line("ready") == "\n"

    def _line(self, opening: str) -> str:
        for line in self._from:
            if line.startswith(opening):
                return line.removeprefix(opening)
        raise AssertionError("the client ended")

    def put(self, question: Any) -> Any:
        """What the script answers."""
        self._to.write(json.dumps(question) + "\n")
        self._to.flush()
        return json.loads(self._line("ANSWER "))

    def close(self) -> None:
        self._child.communicate()
