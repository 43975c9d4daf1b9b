"""The account page as people use it: sessions and personal tokens (forward-auth.md 7, 9)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Error, expect

from tests.browser.chromium import Visitor

PORTAL = re.compile(r"^https://auth\.example\.com:\d+/login\b")


def judged(visitor: Visitor, token: str, path: str) -> int:
    """The gateway's answer to a proxy about a request with the token."""
    asked = {"X-Original-URL": visitor.site.app(path), "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
    return visitor.site.daemon.call("/api/authz/auth-request", bearer=token, headers=asked).status


def at_the_account(visitor: Visitor, username: str = "ada") -> None:
    visitor.page.goto(visitor.site.portal("/account"))
    visitor.log_in(username)
    expect(visitor.page.get_by_role("heading", name="Your account")).to_be_visible()


def test_a_token_from_its_making_to_its_end(visitor: Visitor) -> None:
    """7: shown once, good where it may be used, and not any more once it is revoked."""
    page = visitor.page
    at_the_account(visitor)
    page.get_by_label("Name", exact=True).fill("backup <b>script</b>")
    page.get_by_label("Hosts").fill("app.example.com")
    page.get_by_label("Paths").fill("/api")
    page.get_by_role("button", name="Make token").click()
    token = page.get_by_label("Token", exact=True).input_value()
    assert re.fullmatch(r"lgp_[\w-]{40,}", token)
    assert [judged(visitor, token, path) for path in ("/api/x", "/x")] == [200, 403]
    page.get_by_role("link", name="Back to your account").click()
    row = page.get_by_role("row", name="backup <b>script</b>")
    expect(row).to_contain_text("app.example.com")
    assert token not in page.content()
    with pytest.raises(Error, match="ERR_CACHE_MISS"):  # where a browser asks whether to send the form again
        page.go_back()
    page.wait_for_url("chrome-error://**")
    page.reload()  # which is to confirm it
    expect(page.get_by_role("heading", name="This token was made already")).to_be_visible()
    page.get_by_role("link", name="Back to your account").click()
    expect(row).to_have_count(1)
    row.get_by_role("button").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(row).to_have_count(0)
    assert judged(visitor, token, "/api/x") == 401


def test_a_token_that_cannot_be(visitor: Visitor) -> None:
    """7: what is wrong is said where it was typed, and the rest stays."""
    page = visitor.page
    at_the_account(visitor)
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Hosts").fill("https://app.example.com/")
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("laptop")
    expect(page.get_by_label("Hosts")).to_have_value("https://app.example.com/")


def test_a_form_of_a_session_that_ended(visitor: Visitor) -> None:
    """9: nothing was made, and what was typed is there after the login."""
    page = visitor.page
    at_the_account(visitor)
    page.get_by_label("Name", exact=True).fill("laptop")
    with visitor.site.sessions_ended():
        page.get_by_role("button", name="Make token").click()
        expect(page).to_have_url(PORTAL)
    visitor.log_in()
    expect(page.get_by_label("Name", exact=True)).to_have_value("laptop")
    expect(page.get_by_role("row", name="laptop")).to_have_count(0)


def test_ending_other_sessions(visit: Callable[..., Visitor]) -> None:
    """12.5: another browser is out at its next request; this one stays."""
    here, there, elsewhere = visit(), visit(), visit()
    for visitor in (elsewhere, there, here):
        at_the_account(visitor, "bob")
    page = here.page
    sessions = page.get_by_role("table").filter(has_text="Where you are")
    count = sessions.get_by_role("button").count()
    sessions.get_by_role("row").filter(has_not_text="this one").get_by_role("button").first.click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(sessions.get_by_role("button")).to_have_count(count - 1)
    page.get_by_role("button", name="End all other sessions").click()
    expect(sessions.get_by_role("button")).to_have_count(1)
    for visitor in (there, elsewhere):
        visitor.page.goto(visitor.site.app("/x"))
        expect(visitor.page).to_have_url(PORTAL)
    page.goto(here.site.app("/x"))
    expect(page.locator("#app-user")).to_have_text("bob")


def test_what_may_be_reached(visitor: Visitor) -> None:
    """10: the links are those whose rules let this person in, and they lead there."""
    page = visitor.page
    at_the_account(visitor, "bob")
    expect(page.get_by_role("link", name="Grafana")).to_have_count(0)
    page.get_by_role("link", name="Application").click()
    expect(page.locator("#app-user")).to_have_text("bob")
