"""As root every part can be installed, so a skipped test is a failure there (DECISIONS 36).

Tests run in several processes (``make test``): a file's together, since they share its directories and daemons, and all
that ask for one large directory together, since it is started once and its ports are fixed.
"""

from __future__ import annotations

import os
import shutil

import pytest

SHARED = ("samba", "ds389")
"""Fixtures of the whole session."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        shared = next((name for name in SHARED if name in names), None)
        item.add_marker(pytest.mark.xdist_group(shared or item.path.stem))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not (shutil.which("vault") or shutil.which("bao")):
        terminalreporter.write_line("no vault and no bao on PATH: what they send was replayed, they were not run")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.geteuid() == 0:
        reporter.write_line(f"{len(skipped)} tests were skipped, which as root counts as failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
