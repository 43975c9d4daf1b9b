"""forward-auth.md 8: where people may be sent after a login."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.redirects import LONGEST_LOCATION, ReturnUrls, login_location

ALLOWED = ReturnUrls(["example.com"], ["partner.test"], [8443], ["https://auth.example.com", "http://127.0.0.1:8008"])
INSECURE = ReturnUrls(["example.com"], [], insecure=True)

GOOD = [
    "/",
    "/account",
    "/account?a=b",
    "/account?next=//x/../y",
    "/a/b/c.d",
    "/a#b",
    "/..a",
    "/a./b",
    "/.well-known/x",
    "/a%20b",
    "/a%23b",
    "/j%C3%B6rg",
    "/?x",
    "/@a",
    "/a:b@c",
    "https://example.com",
    "https://example.com/",
    "https://example.com?x",
    "https://example.com/#x",
    "https://app.example.com/",
    "https://app.example.com/a?b=c&d=e",
    "https://app.example.com/a%2Fb?c=%20#d",
    "https://a.b.c.example.com/",
    "https://APP.Example.COM/x",
    "https://app.example.com./x",
    "HTTPS://app.example.com/x",
    "https://app.example.com:443/x",
    "https://app.example.com:8443/x",
    "https://partner.test/x",
    "https://partner.test:8443/x",
    "https://PARTNER.test/",
    "https://auth.example.com/login",
    "http://127.0.0.1:8008/account",
    "https://xn--bcher-kva.example.com/",
    "https://my_app.example.com/",
    "https://app.example.com//evil.test",
    "https://app.example.com/../x",
    "https://app.example.com/?u=https://evil.test",
    "https://app.example.com/@evil.test",
    "https://app.example.com/" + "a" * 2000,
]
BAD = [
    "",
    " ",
    "//",
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "/\\evil.test",
    "\\evil.test",
    "\\\\evil.test",
    "/\\/evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r/evil.test",
    "/\v/evil.test",
    "/\f/evil.test",
    "/ /evil.test",
    "/ evil",
    "\t//evil.test",
    " //evil.test",
    "/%09/evil.test",
    "/%0a/evil.test",
    "/%0d%0aLocation:x",
    "/%20/evil.test",
    "/%2f/evil.test",
    "/%2fevil.test",
    "/%5cevil.test",
    "/%5Cevil.test",
    "/a/%5c/evil",
    "/./evil.test",
    "/.//evil.test",
    "/../evil.test",
    "/..//evil.test",
    "/%2e%2e//evil.test",
    "/%2e/evil.test",
    "/a/../b",
    "/a/.//evil.test",
    "/a//evil.test",
    "/....//evil",
    "/%c2%a0/evil",
    "/é",
    "/\u2044evil",
    "/\x00",
    "/\x7f",
    "/" + "a" * 2048,
    "account",
    "account/x",
    "./account",
    "?x",
    "#x",
    "evil.test",
    "www.example.com",
    "javascript:alert(1)",
    "javascript://example.com/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "ftp://example.com/",
    "file:///etc/passwd",
    "http:",
    "https:",
    "https:/",
    "https://",
    "https:///example.com",
    "https:example.com",
    "https:/example.com",
    "https:\\\\example.com",
    "https:/\\example.com",
    "https://\\example.com",
    "http://app.example.com/",
    "http://partner.test/",
    "http://auth.example.com/",
    "ws://app.example.com/",
    "https://evil.test",
    "https://evil.test/",
    "https://evil.test/example.com",
    "https://evil.test?.example.com",
    "https://evil.test#.example.com",
    "https://evil.test\\.example.com",
    "https://evil.test/.example.com",
    "https://evil.test;.example.com",
    "https://evil.test,.example.com",
    "https://badexample.com",
    "https://badexample.com/",
    "https://app.example.com.evil.test",
    "https://app.example.com.evil.test/",
    "https://example.comevil.test",
    "https://example.com.",
    "https://example.com..",
    "https://.example.com",
    "https://..example.com",
    "https://a..example.com",
    "https://fooaexample.com",
    "https://example.com@evil.test",
    "https://example.com:x@evil.test",
    "https://a@example.com",
    "https://@example.com",
    "https://user:pw@app.example.com/",
    "https://evil.test%2f.example.com",
    "https://evil.test%5c.example.com",
    "https://evil.test%23.example.com",
    "http://a%23.b/",
    "https://a%23.example.com/",
    "https://evil.test%00.example.com",
    "https://evil.test%2f%2f.example.com/",
    "https://app%2eexample.com/",
    "https://sub.partner.test/",
    "https://partner.test:9/",
    "https://app.example.com:8080/",
    "https://app.example.com:80/",
    "https://app.example.com:",
    "https://app.example.com:0/",
    "https://app.example.com:99999/",
    "https://app.example.com:443x/",
    "https://app.example.com:443:443/",
    "https://127.0.0.1/",
    "http://127.0.0.1/",
    "http://127.0.0.1:8009/",
    "https://127.0.0.1:8008/",
    "https://[::1]/",
    "https://[::1",
    "https://[::1].example.com/",
    "https://bücher.example.com/",
    "https://app。example.com/",
    "https://ⓔxample.com/",
    "https://app.example.com/\\x",
    "https://app.example.com/a b",
    "https://app.example.com/a\tb",
    "https://app.example.com/a\r\nSet-Cookie: x",
    "https://app.example.com/\x00",
    "https://app.example.com/ü",
    "https://app.example.com/" + "a" * 2048,
    " https://app.example.com/",
    "https ://app.example.com/",
    "h\nttps://app.example.com/",
    "httpss://app.example.com/",
]
BAD.remove("https://example.com.")  # one trailing dot is the same name


def test_the_tables_are_long_enough() -> None:
    assert len(GOOD) + len(BAD) >= 160


@pytest.mark.parametrize("text", GOOD, ids=ascii)
def test_allowed(text: str) -> None:
    assert ALLOWED.allow(text)


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:60])
def test_refused(text: str) -> None:
    assert not ALLOWED.allow(text)


def test_http_where_targets_may_be_insecure() -> None:
    assert INSECURE.allow("http://app.example.com/")
    assert INSECURE.allow("http://app.example.com:80/")
    assert not INSECURE.allow("http://app.example.com:443/")
    assert not INSECURE.allow("http://evil.test/")


@given(st.text(alphabet="/\\.:@#?%2f5chtps evil.testexample.com\t\n", max_size=40).map(lambda text: text))
def test_never_to_a_stranger(text: str) -> None:
    """What is allowed leads, as the standard library resolves it, to our hosts or stays where it is."""
    for form in (text, f"/{text}", f"https://{text}", f"https://app.example.com{text}"):
        if ALLOWED.allow(form):
            parts = urlsplit(urljoin("https://auth.example.com/login", form))
            host = (parts.hostname or "").rstrip(".").lower()
            assert host in ("example.com", "partner.test") or host.endswith(".example.com")


@pytest.mark.parametrize(
    ("url", "method", "location"),
    [
        ("https://app.example.com/a?b=c&d=%2F", "GET", "https://auth.example.com/login?rd=https://app.example.com/a?b%3Dc%26d%3D%252F"),
        ("https://app.example.com/", "POST", "https://auth.example.com/login?rd=https://app.example.com/&rm=POST"),
        ("https://app.example.com/", "x&y", "https://auth.example.com/login?rd=https://app.example.com/"),
        ("https://app.example.com/" + "a" * 3000, "GET", "https://auth.example.com/login?rd=https://app.example.com/"),
        ("https://app.example.com/" + "%41" * 600, "GET", "https://auth.example.com/login?rd=https://app.example.com/" + "%2541" * 600),
        ("https://app.example.com/?" + "&" * 1020, "GET", "https://auth.example.com/login?rd=https://app.example.com/"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_login_location(url: str, method: str, location: str) -> None:
    """3.7 and 8: the whole URL survives one form decoding; what is too long for a proxy's buffer is cut to the host."""
    made = login_location("https://auth.example.com", url, method, ALLOWED)
    assert made == location[:LONGEST_LOCATION] == location
    assert ALLOWED.allow(unquote(made.partition("rd=")[2].partition("&")[0]))
