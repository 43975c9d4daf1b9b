"""wrk as the load, CPU seconds from /proc, and rounds in which everything takes turns.

On a machine that others use too, what was measured a minute apart says nothing: each round measures every row once,
ratios are made within a round, and their median counts.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 2
CONNECTIONS = 32


@dataclass(frozen=True)
class Measured:
    """One row of one round."""

    per_second: float
    p99_ms: float
    cpu_us: float
    """Of the serving processes, for one request: what a busy machine changes least."""


def cpu_seconds(pids: Sequence[int]) -> float:
    """What processes have used so far."""
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


def wrk(
    url: str, headers: Mapping[str, str], serving: Sequence[int], *, core: int | None = None, script: Path | None = None
) -> Measured:
    """Ask for ``SECONDS`` over ``CONNECTIONS``. Raises RuntimeError where not every answer was a good one."""
    command = [] if core is None else ["taskset", "-c", str(core)]
    command += ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(script)] if script else []
    before = cpu_seconds(serving)
    text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(serving) - before
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    number, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", text)[0]
    milliseconds = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    requests = int(re.findall(r"(\d+) requests in", text)[0])
    per_second = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    return Measured(per_second, milliseconds, spent / requests * 1e6)


class Rounds:
    """Rows that were measured in turns."""

    def __init__(self, rows: Mapping[str, Callable[[], Measured]], rounds: int) -> None:
        self._measured = [{name: measure() for name, measure in rows.items()} for _ in range(rounds)]

    def median(self, name: str) -> Measured:
        """The middle of each figure of a row."""
        rows = [measured[name] for measured in self._measured]
        return Measured(
            statistics.median(row.per_second for row in rows),
            statistics.median(row.p99_ms for row in rows),
            statistics.median(row.cpu_us for row in rows),
        )

    def ratio(self, name: str, other: str, figure: Callable[[Measured], float]) -> float:
        """The middle of the ratios of one figure of two rows, each within one round."""
        return statistics.median(figure(measured[name]) / figure(measured[other]) for measured in self._measured)
