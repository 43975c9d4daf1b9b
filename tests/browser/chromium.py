"""One Chromium for all tests of a file, a profile of its own for each; what it complains about fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.browser.site import PASSWORD, Site

PROGRAMS = ("chromium-headless-shell", "chromium")
DEADLINE_MILLISECONDS = 20_000


def program() -> str:
    for name in PROGRAMS:
        if (path := shutil.which(name)) is not None:
            return path
    advice = f"no Chromium is installed; as root: apt-get install -y --no-install-recommends {PROGRAMS[0]}"
    if os.geteuid() == 0:
        raise RuntimeError(advice)
    pytest.skip(advice)


@contextmanager
def chromium(site: Site) -> Iterator[Browser]:
    """A browser that finds ``*.example.com`` here and trusts the site's key alone."""
    arguments = ["--host-resolver-rules=MAP * 127.0.0.1", f"--ignore-certificate-errors-spki-list={site.key_hash}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(),
            # Chromium's own sandbox wants another user than root.
            args=[*arguments, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
            # People have it, and it is what shows a page again after it should be gone.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody with a browser of their own: cookies, tabs, and everything the browser complained about."""

    def __init__(self, browser: Browser, site: Site, **options: Any) -> None:
        self.site = site
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(DEADLINE_MILLISECONDS)
        self.complaints: list[str] = []
        self._refused: set[str] = set()
        self.page = self.tab()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("response", self._answered)
        return page

    def log_in(self, username: str = "ada", password: str = PASSWORD, page: Page | None = None) -> None:
        """Fill in the form that is shown, and send it."""
        page = page or self.page
        page.get_by_label("User name").fill(username)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    def cookies(self) -> list[str]:
        return [str(cookie["name"]) for cookie in self.context.cookies()]

    def _said(self, message: ConsoleMessage) -> None:
        # That a page itself came with an error status is what the tests expect where it does.
        if message.type in ("error", "warning") and message.location["url"] not in self._refused:
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.request.is_navigation_request():
            self._refused.add(response.url)


def axe_findings(page: Page) -> list[str]:
    """What axe finds wrong with a page, at any severity: rule, elements, reason."""
    found = Axe().run(page).response["violations"]
    return [f"{each['impact']} {each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]
