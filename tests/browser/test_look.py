"""How the pages look and work for everybody: both themes, phones, zoom, keyboards, no colours, no style sheet.

Each state is photographed; ``GATEWAY_SHOTS`` names a directory that keeps the pictures, for people to look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor, axe_findings
from tests.browser.site import LONG_NAME

HUBERT = "hubert.blaine.wolfeschlegelsteinhausenbergerdorff"
WIDTHS = (1280, 640, 390, 320)
"""Pixels: a desk, the same at 200 %, a phone, and a desk at 400 %."""
PHOTOGRAPHED = (1280, 390)
SMALLEST = 44
"""Pixels that what is pressed is high (WCAG 2.5.5)."""
PRESSED = "a[href], button, input:not([type=hidden], [type=checkbox]), input[type=checkbox] + label"


def states(visitor: Visitor) -> Iterator[tuple[str, Page]]:
    """Every page, in the states people meet."""
    page, site = visitor.page, visitor.site
    page.goto(site.portal("/login"))
    yield "login", page
    page.goto(site.portal(f"/login?rm=POST&rd={site.app('/saved')}"))
    expect(page.get_by_text("app.example.com")).to_be_visible()
    page.get_by_label("Keep me signed in").check()
    yield "unsent", page
    page.goto(site.app("/operations/x"))
    visitor.log_in(HUBERT, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "wrong", page
    visitor.log_in(HUBERT)
    expect(page.get_by_role("heading", level=1)).to_contain_text("may not see app.example.com")
    yield "refused", page
    page.goto(site.app("/operations/x"))
    yield "forbidden", page
    page.get_by_role("link", name="Who am I signed in as?").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("may not see app.example.com")
    page.goto(site.portal("/account"))
    page.get_by_label("Name", exact=True).fill("x" * 100)
    page.get_by_label("Hosts").fill("app.example.com *.a-name-of-a-host-that-is-rather-long.example.com grafana.example.com")
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    yield "token", page
    page.get_by_role("link", name="Back to your account").click()
    expect(page.get_by_text(LONG_NAME).first).to_be_visible()
    yield "account", page
    page.get_by_role("button", name="Revoke the token").first.click()
    expect(page.get_by_role("status")).to_be_visible()
    yield "done", page
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Hosts").fill("https://app.example.com/")
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "no-token", page
    page.goto(site.portal("/logout"))
    yield "logout", page
    page.get_by_role("main").get_by_role("button").click()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    yield "logged-out", page
    page.goto(site.portal("/account/nothing"))
    yield "not-found", page
    site.configure(realm="true")
    page.goto(site.portal("/login"))
    visitor.log_in("carl")
    expect(page.get_by_role("alert")).to_contain_text("cannot be checked at the moment")
    yield "unavailable", page
    site.configure(attempts="1")
    # Proxies are never throttled, and here everybody else comes from where they are.
    page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
    page.goto(f"http://localhost:{site.daemon.port}/login")
    for _ in range(2):
        visitor.log_in("carl")
    expect(page.get_by_role("alert")).to_contain_text("wait a while")
    yield "throttled", page
    site.configure()
    page.set_extra_http_headers({})
    page.goto(f"http://localhost:{site.daemon.port}/login")
    expect(page.get_by_text("This page came over plain http")).to_be_visible()
    yield "plain", page


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    return Path(os.environ.get("GATEWAY_SHOTS", tmp_path))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page(visit: Callable[..., Visitor], shots: Path, theme: str) -> None:
    """Nothing for axe to find, nothing to scroll sideways for, nothing too small to hit (WCAG 1.4.4, 1.4.10, 2.5.5)."""
    visitor = visit(color_scheme=theme, reduced_motion="reduce")
    problems: list[str] = []
    for state, page in states(visitor):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            found = [*too_wide(page), *too_small(page)]
            if width in PHOTOGRAPHED:
                page.screenshot(path=shots / f"{state}-{theme}-{width}.png", full_page=True)
                found += axe_findings(page)
            problems += [f"{state} {width}: {problem}" for problem in found]
    assert problems == []


def test_forced_colours(visit: Callable[..., Visitor], shots: Path) -> None:
    """Where people choose all colours, borders still say what is a field and what a button."""
    visitor = visit(forced_colors="active")
    page = visitor.page
    page.goto(visitor.site.portal("/login"))
    page.screenshot(path=shots / "login-forced.png")
    for control in (page.get_by_label("User name"), page.get_by_role("button")):
        edge, ground = control.evaluate("e => [getComputedStyle(e).borderTopColor, getComputedStyle(document.body).backgroundColor]")
        assert edge != ground
    assert axe_findings(page) == []


@pytest.mark.parametrize(("motion", "expected"), [("reduce", {"0s"}), ("no-preference", {"0.12s"})])
def test_motion(visit: Callable[..., Visitor], motion: str, expected: set[str]) -> None:
    visitor = visit(reduced_motion=motion)
    visitor.page.goto(visitor.site.portal("/login"))
    found = visitor.page.get_by_role("button").evaluate("e => getComputedStyle(e).transitionDuration.split(', ')")
    assert set(found) == expected


def test_without_style_sheet_and_scripts(visit: Callable[..., Visitor]) -> None:
    """The pages are documents: they read in order and work as they are."""
    visitor = visit(java_script_enabled=False)
    visitor.context.route("**/static/**", lambda route: route.fulfill(status=200, content_type="text/css", body=""))
    page = visitor.page
    page.goto(visitor.site.app("/plain"))
    visitor.log_in(password="wrong")
    visitor.log_in()
    expect(page.locator("#app-target")).to_have_text("/plain")
    page.goto(visitor.site.portal("/account"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("ada@example.com")).to_have_count(0)


def test_the_keyboard_sees_where_it_is(visitor: Visitor) -> None:
    """Every stop of the Tab key on the account page has a ring, and they come in the order of the page."""
    page = visitor.page
    page.goto(visitor.site.portal("/account"))
    visitor.log_in()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    stops = page.evaluate(
        "() => [...document.querySelectorAll('a[href], button, input:not([type=hidden])')].map((e, i) => e.dataset.stop = i)"
    )
    for stop in stops:
        page.keyboard.press("Tab")
        found = page.evaluate("(e => [e.dataset.stop, getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth])(document.activeElement)")
        assert found == [str(stop), "solid", "3px"]


def too_wide(page: Page) -> list[str]:
    """What makes a page scroll sideways."""
    return list(page.evaluate("""() => [...document.querySelectorAll('body *')]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5 && getComputedStyle(e).position != 'absolute'
            && !e.closest('thead'))
        .map(e => `too wide: ${e.outerHTML.slice(0, 120)}`)"""))  # fmt: skip


def too_small(page: Page) -> list[str]:
    """What people press and would miss; links within a sentence may be as high as it."""
    return list(page.evaluate("""([pressed, smallest]) => [...document.querySelectorAll(pressed)]
        .filter(e => e.getBoundingClientRect().height < smallest - 0.5 && !(e.matches('a') && e.closest('p')))
        .map(e => `too small: ${e.outerHTML.slice(0, 120)}`)""", [PRESSED, SMALLEST]))  # fmt: skip
