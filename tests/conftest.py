"""As root every part can be installed, so a skipped test is a failure there (DECISIONS 36)."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.geteuid() == 0:
        reporter.write_line(f"{len(skipped)} tests were skipped, which as root counts as failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
