"""Logging in as people do: Chromium, nginx with the file of conf/proxy, the daemon (forward-auth.md 8, 9, 12.1)."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.site import PASSWORD
from tests.daemon import running
from tests.serve.test_clearml_protocol import password_hash

PORTAL = re.compile(r"^https://auth\.example\.com:\d+/login\b")

# What is typed into the address bar, what the application must be asked for in the end, what is shown there
DEEP_LINKS = [
    ("/", "/"),
    ("/x?a=1&b=%2F", "/x?a=1&b=%2F"),
    ("/frag%23ment?q=%23&r=a+b%20c", "/frag%23ment?q=%23&r=a+b%20c"),
    ("/a%2Fb/%7Ec", "/a%2Fb/%7Ec"),
    ("/ünï/東京?ß=é", "/%C3%BCn%C3%AF/%E6%9D%B1%E4%BA%AC?%C3%9F=%C3%A9"),
    ("/x?rd=https://evil.test/&rm=POST", "/x?rd=https://evil.test/&rm=POST"),
    ("/x?a=1&a=2&&=&b", "/x?a=1&a=2&&=&b"),
    ("/a;b=c/(d)?e=[1]&f={2}|'3'", "/a;b=c/(d)?e=[1]&f={2}|%273%27"),
    ("/100%25?p=%2525", "/100%25?p=%2525"),
    (f"/{'long/' * 300}?q={'x' * 200}", f"/{'long/' * 300}?q={'x' * 200}"),
]
HOSTILE = [
    "https://evil.test/", "//evil.test/", "/\\evil.test", "https://app.example.com.evil.test/", "https://evil.test%23.example.com/",
    "https://app.example.com@evil.test/", "javascript:alert(document.domain)", "data:text/html,x", "/%09/evil.test", "/.//evil.test",
    '"><img src=x onerror=alert(1)>', "https:evil.test", "http://app.example.com/",
]  # fmt: skip


def shows(page: Page, user: str, target: str) -> None:
    """The application shows itself, to whom and for what."""
    expect(page.locator("#app-user")).to_have_text(user)
    expect(page.locator("#app-target")).to_have_text(target)


@pytest.mark.parametrize(("typed", "asked"), DEEP_LINKS)
def test_from_a_page_to_the_login_and_back(visitor: Visitor, typed: str, asked: str) -> None:
    """12.1, 3.7."""
    visitor.page.goto(visitor.site.app(typed))
    expect(visitor.page).to_have_url(PORTAL)
    visitor.log_in()
    shows(visitor.page, "ada", asked)
    [cookie] = visitor.context.cookies()
    told = {name: cookie[name] for name in ("name", "domain", "path", "secure", "httpOnly", "sameSite", "expires")}
    assert told == {
        "name": "__Secure-gw", "domain": ".example.com", "path": "/",
        "secure": True, "httpOnly": True, "sameSite": "Lax", "expires": -1,
    }  # fmt: skip


def test_wrong_password(visitor: Visitor) -> None:
    """9: nothing but the password need be typed again, and the way back is not lost."""
    page = visitor.page
    page.goto(visitor.site.app("/x?a=1&b=%2F"))
    visitor.log_in(password="wrong")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    said = alert.inner_text()
    expect(page.get_by_label("User name")).to_have_value("ada")
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Password")).to_be_focused()
    assert visitor.context.cookies() == []
    visitor.log_in("nobody-of-this-name", "wrong")
    expect(page.get_by_label("User name")).to_have_value("nobody-of-this-name")
    assert page.get_by_role("alert").inner_text() == said
    visitor.log_in()
    shows(page, "ada", "/x?a=1&b=%2F")


def test_remembered(visitor: Visitor) -> None:
    visitor.page.goto(visitor.site.app())
    visitor.page.get_by_role("checkbox").check()
    visitor.log_in()
    shows(visitor.page, "ada", "/")
    [cookie] = visitor.context.cookies()
    assert cookie["expires"] > 0


def test_hostile_return_urls(visitor: Visitor) -> None:
    """8: the login works and ends at the portal; nothing of them is followed, run, or asked for."""
    page, hosts = visitor.page, set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on("dialog", lambda dialog: visitor.complaints.append(dialog.message))
    for hostile in HOSTILE:
        page.goto(visitor.site.portal(f"/login?{urlencode({'rd': hostile})}"))
        visitor.log_in()
        expect(page.get_by_role("button", name="Sign out"), hostile).to_be_visible()
        visitor.context.clear_cookies()
    assert hosts == {"auth.example.com"}


def test_a_session_that_ended_in_the_middle(visitor: Visitor) -> None:
    """9, 12.5: the next page asks for the login, and leads on to where one was."""
    page, site = visitor.page, visitor.site
    page.goto(site.app("/first"))
    visitor.log_in()
    shows(page, "ada", "/first")
    with site.sessions_ended():
        page.reload()
        expect(page).to_have_url(PORTAL)
    visitor.log_in()
    shows(page, "ada", "/first")
    with site.sessions_ended():
        page.get_by_role("button", name="Save").click()
        expect(page).to_have_url(PORTAL)
    visitor.log_in()
    shows(page, "ada", "/saved")


def test_two_tabs(visitor: Visitor) -> None:
    """9: each form leads to the page it was shown for, whoever was logged in by the other one."""
    first, second = visitor.page, visitor.tab()
    first.goto(visitor.site.app("/first"))
    second.goto(visitor.site.app("/second"))
    visitor.log_in(page=first)
    shows(first, "ada", "/first")
    visitor.log_in(page=second)
    shows(second, "ada", "/second")
    first.reload()
    shows(first, "ada", "/first")
    second.goto(visitor.site.portal())
    second.get_by_role("button", name="Sign out").click()
    expect(second.get_by_role("button", name="Sign out")).to_have_count(0)
    first.reload()
    expect(first).to_have_url(PORTAL)


def test_somebody_else_logs_in_after(visitor: Visitor) -> None:
    """9: a form that was left open makes a session of its own person, and the older one ends."""
    first, second = visitor.page, visitor.tab()
    first.goto(visitor.site.app("/first"))
    second.goto(visitor.site.app("/second"))
    visitor.log_in(page=first)
    shows(first, "ada", "/first")
    [before] = visitor.context.cookies()
    visitor.log_in("bob", page=second)
    shows(second, "bob", "/second")
    first.reload()
    shows(first, "bob", "/first")
    visitor.context.clear_cookies()
    visitor.context.add_cookies([before])
    first.reload()
    expect(first).to_have_url(PORTAL)


def test_somebody_who_may_not(visitor: Visitor) -> None:
    """4: who is logged in is not asked to log in again, or it would never end."""
    page = visitor.page
    page.goto(visitor.site.app("/operations"))
    expect(page).to_have_url(PORTAL)
    visitor.log_in("bob")
    expect(page.get_by_role("heading", level=1)).to_contain_text("You may not see app.example.com")
    page.reload()
    expect(page.get_by_label("Password")).to_have_count(0)
    page.get_by_role("button", name="Sign in as somebody else").click()
    visitor.log_in("ada")
    shows(page, "ada", "/operations")


def test_logout_and_the_back_button(visitor: Visitor) -> None:
    """9: after it, no page of the portal shows anything private."""
    page = visitor.page
    page.goto(visitor.site.app("/x"))
    visitor.log_in()
    page.goto(visitor.site.portal())
    expect(page.get_by_text("ada@example.com")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("ada@example.com")).to_have_count(0)
    assert visitor.context.cookies() == []
    for _ in range(3):
        page.go_back()
        expect(page.get_by_text("ada@example.com")).to_have_count(0)
        expect(page.locator("#app-user")).to_have_count(0)


def test_by_keyboard_alone(visitor: Visitor) -> None:
    """The order is that of reading, where one is can always be seen, Enter submits."""
    page = visitor.page
    page.goto(visitor.site.app("/keys"))
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("ada")
    for control in (page.get_by_label("Password"), page.get_by_role("checkbox"), page.get_by_role("button", name="Sign in")):
        assert ring(page) >= 2
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
    assert ring(page) >= 2
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    shows(page, "ada", "/keys")


def ring(page: Page) -> float:
    """Pixels of the outline around what has the focus."""
    style = page.evaluate("(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))")
    return 0.0 if style[0] == "none" else float(style[1].removesuffix("px"))


ATTACKS = [
    ("https://evil.test/", "/api/logout", {}),
    ("https://evil.test/", "/api/login", {"user": "bob", "password": PASSWORD}),
    ("https://evil.test/", "/account/tokens", {"label": "theirs"}),
    ("APP", "/api/logout", {}),
    ("APP", "/api/login", {"user": "bob", "password": PASSWORD}),
    ("APP", "/account/tokens", {"label": "theirs"}),
    ("APP", "/account/sessions/revoke-others", {}),
]
FORM = """<!doctype html><html lang="en"><title>Other</title><form method="post" action="{action}">{fields}<button>Go</button></form>"""


@pytest.mark.parametrize(("origin", "path", "fields"), ATTACKS)
def test_forms_of_other_sites(visitor: Visitor, origin: str, path: str, fields: dict[str, str]) -> None:
    """9, DECISIONS 29: neither a stranger's page nor an application's does anything in somebody's name."""
    page, address = visitor.page, f"{origin.replace('APP', visitor.site.app())}attack"
    hidden = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items())
    text = FORM.format(action=visitor.site.portal(path), fields=hidden)
    visitor.context.route(address, lambda route: route.fulfill(content_type="text/html", body=text))
    page.goto(visitor.site.portal("/account"))
    visitor.log_in()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    page.goto(address)
    with page.expect_response(visitor.site.portal(path)) as answer:
        page.get_by_role("button", name="Go").click()
    assert answer.value.status == 403
    page.goto(visitor.site.portal("/account"))
    expect(page.get_by_text("ada@example.com")).to_be_visible()
    expect(page.get_by_role("row", name="theirs")).to_have_count(0)


def test_no_page_may_be_framed(visitor: Visitor) -> None:
    """9: not even by an application of the same domain."""
    page, site = visitor.page, visitor.site
    page.goto(site.app("/public"))
    for address, framed in ((site.app("/public/x"), True), (site.portal("/login"), False)):
        page.evaluate(
            """src => new Promise(loaded => document.body.append(
                Object.assign(document.createElement('iframe'), {src, onload: loaded})))""", address,
        )  # fmt: skip
        assert (page.frames[-1].url == address) is framed
    assert any("frame-ancestors 'none'" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()


def test_plain_http(visitor: Visitor) -> None:
    """9: who opens the daemon itself is told so before they type anything, and gets to the page they wanted."""
    page, port = visitor.page, visitor.site.daemon.port
    for host in ("localhost", "gateway.test", "auth.example.com"):
        page.goto(f"http://{host}:{port}/login?rd={visitor.site.app('/x')}")
        expect(page.get_by_text("This page came over plain http")).to_be_visible()
        page.get_by_role("link", name="https://auth.example.com").click()
        expect(page.get_by_text("This page came over plain http")).to_have_count(0)
        visitor.log_in()
        expect(page.locator("#app-target")).to_have_text("/x")
        visitor.context.clear_cookies()
    page.goto(f"http://auth.example.com:{port}/login")  # where browsers do not even tell which page sends a form
    visitor.log_in()
    page.get_by_role("link", name="Sign in at auth.example.com").click()
    visitor.log_in()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_same_machine_by_http(visitor: Visitor, tmp_path: Path, host: str) -> None:
    """9, Secure Contexts 3.1: as set up to try it out; browsers keep a ``__Host-`` cookie there."""
    file = tmp_path / "gateway.conf"
    file.write_text(f'users = [{{ username = ada, password_hash = "{password_hash(PASSWORD)}" }}]\n')
    with running(tmp_path, files=[file]) as daemon:
        page = visitor.page
        page.goto(f"http://{host}:{daemon.port}/login")
        expect(page.get_by_text("This page came over plain http")).to_have_count(0)
        visitor.log_in()
        expect(page.get_by_role("heading", name="Your account")).to_be_visible()
        assert [cookie["name"] for cookie in visitor.context.cookies()] == ["__Host-gw"]
        page.get_by_role("button", name="Sign out").first.click()
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
        assert visitor.context.cookies() == []
