"""forward-auth.md 3: from the values of headers to a target. The rows' reasons name the part of the section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.hosts import MalformedHost, is_within, parse_host
from gateway.access.target import (
    Malformed,
    Target,
    auth_request_target,
    ext_authz_target,
    forward_auth_target,
)

BAD = None

# 3.4, 3.5: raw URI, path for the rules (BAD: malformed)
PATHS: list[tuple[str, str | None]] = [
    ("/", "/"),
    ("/a", "/a"),
    ("/a/", "/a/"),
    ("/a/b.txt", "/a/b.txt"),
    ("/a?q=1", "/a"),
    ("/a/?q=/public", "/a/"),
    ("/admin?x=/public", "/admin"),
    ("/?", "/"),
    ("/?a=%2e%2e", "/"),
    ("/a?b?c", "/a"),
    ("//", "/"),
    ("//admin", "/admin"),
    ("///admin//x///", "/admin/x/"),
    ("//evil.test/admin", "/evil.test/admin"),
    ("/./admin", "/admin"),
    ("/admin/.", "/admin/"),
    ("/admin/./", "/admin/"),
    ("/admin/..", "/"),
    ("/admin/../", "/"),
    ("/public/../admin", "/admin"),
    ("/public/../admin/", "/admin/"),
    ("/public/..//admin", "/admin"),
    ("/../../admin", "/admin"),
    ("/..", "/"),
    ("/a/b/../../c", "/c"),
    ("/a/b/..", "/a/"),
    ("/...", "/..."),
    ("/a/.../b", "/a/.../b"),
    ("/.well-known/x", "/.well-known/x"),
    ("/a/.hidden", "/a/.hidden"),
    ("/a./b", "/a./b"),
    ("/a..b", "/a..b"),
    ("/%61dmin", "/admin"),
    ("/%41dmin", "/Admin"),
    ("/adm%69n", "/admin"),
    ("/public/%2e%2e/admin", "/admin"),
    ("/public/%2E%2E/admin", "/admin"),
    ("/public/.%2e/admin", "/admin"),
    ("/public/%2e./admin", "/admin"),
    ("/public/..%2fadmin", "/admin"),
    ("/public%2f..%2fadmin", "/admin"),
    ("/%2Fadmin", "/admin"),
    ("/%2f%2fadmin", "/admin"),
    ("/admin%2f", "/admin/"),
    ("/admin%2F%2e", "/admin/"),
    ("/a%20b", "/a b"),
    ("/a%23b", "/a#b"),
    ("/public/secret%23/endpoint", "/public/secret#/endpoint"),
    ("/a%3Fb", "/a?b"),
    ("/a%3fb?c", "/a?b"),
    ("/a%25b", "/a%b"),
    ("/100%25", "/100%"),
    ("/a%25zz", "/a%zz"),
    ("/a%2Bb+c", "/a+b+c"),
    ("/a;b", "/a;b"),
    ("/a;v=1/b", "/a;v=1/b"),
    ("/x/..;/admin", "/x/..;/admin"),
    ("/a%3bb", "/a;b"),
    ("/@user", "/@user"),
    ("/a:b", "/a:b"),
    ("/a,b", "/a,b"),
    ("/a,/b", "/a,/b"),
    ("/(a)[b]{c}|d^e`f", "/(a)[b]{c}|d^e`f"),
    ("/a'b\"c<d>", "/a'b\"c<d>"),
    ("/~user/", "/~user/"),
    ("/-", "/-"),
    ("/_", "/_"),
    ("/j%C3%B6rg", "/jörg"),
    ("/j%c3%b6rg", "/jörg"),
    ("/jörg", "/jörg"),
    ("/j\udcc3\udcb6rg", "/jörg"),
    ("/日本", "/日本"),
    ("/%F0%9F%98%80", "/😀"),
    ("/a%E2%80%8Bb", "/a\u200bb"),
    ("/" + "a" * 4095, "/" + "a" * 4095),
    ("/" + "a" * 4096, BAD),
    ("/a?" + "b" * 20000, "/a"),
    ("/a?" + "&" * 999, "/a"),
    ("/a?" + "&" * 1000, BAD),
    ("", BAD),
    ("a", BAD),
    ("*", BAD),
    ("?a", BAD),
    ("admin/..", BAD),
    ("https://app.example.com/a", BAD),
    ("/a#b", BAD),
    ("/frag#/public", BAD),
    ("/a?b#c", BAD),
    ("/a b", BAD),
    ("/a\tb", BAD),
    ("/a\nb", BAD),
    ("/a\rb", BAD),
    ("/a\x00b", BAD),
    ("/a\x7fb", BAD),
    ("/a\\b", BAD),
    ("/\\evil", BAD),
    ("/a?b\\c", BAD),
    ("/a%5cb", BAD),
    ("/a%5Cb", BAD),
    ("/..%5cadmin", BAD),
    ("/a%00b", BAD),
    ("/a%0ab", BAD),
    ("/public%0a", BAD),
    ("/a%0d%0aX", BAD),
    ("/a%09", BAD),
    ("/a%7f", BAD),
    ("/a%", BAD),
    ("/a%2", BAD),
    ("/a%zz", BAD),
    ("/a%2g", BAD),
    ("/a?b=%zz", BAD),
    ("/a%%41", BAD),
    ("/%252e%252e/admin", BAD),
    ("/%2561dmin", BAD),
    ("/a%252fb", BAD),
    ("/a%ff", BAD),
    ("/a%c3", BAD),
    ("/a\udcff", BAD),
    ("/%c0%ae%c0%ae/admin", BAD),
    ("/%ed%a0%80", BAD),
    ("/\ud800", BAD),
]  # fmt: skip

# 3.3: authority as received, host and port in their one form (BAD: malformed)
HOSTS: list[tuple[str, tuple[str, int | None] | None]] = [
    ("app.example.com", ("app.example.com", None)),
    ("APP.X.test:443", ("app.x.test", None)),
    ("a.B.example.com", ("a.b.example.com", None)),
    ("app.x.test.", ("app.x.test", None)),
    ("app.x.test.:443", ("app.x.test", None)),
    ("app.example.com:8443", ("app.example.com", 8443)),
    ("app.example.com:80", ("app.example.com", 80)),
    ("app.example.com:0443", ("app.example.com", None)),
    ("localhost", ("localhost", None)),
    ("my_app.example.com", ("my_app.example.com", None)),
    ("192.0.2.1", ("192.0.2.1", None)),
    ("192.0.2.1:8080", ("192.0.2.1", 8080)),
    ("[2001:DB8::1]", ("[2001:db8::1]", None)),
    ("[2001:db8:0:0::1]:8443", ("[2001:db8::1]", 8443)),
    ("bücher.example", ("xn--bcher-kva.example", None)),
    ("BÜCHER.example", ("xn--bcher-kva.example", None)),
    ("xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
    ("straße.example", ("xn--strae-oqa.example", None)),
    ("app。example。com", ("app.example.com", None)),
    ("", BAD),
    (".", BAD),
    ("..", BAD),
    (":443", BAD),
    ("app..example.com", BAD),
    (".example.com", BAD),
    ("app.example.com..", BAD),
    ("app.example.com:", BAD),
    ("app.example.com:0", BAD),
    ("app.example.com:65536", BAD),
    ("app.example.com:99999999", BAD),
    ("app.example.com:8a", BAD),
    ("app.example.com:443:443", BAD),
    ("a@b.example.com", BAD),
    ("user:pw@app.example.com", BAD),
    ("app.example.com\\evil", BAD),
    ("app%2eexample.com", BAD),
    ("app.example.com%00", BAD),
    ("app.example.com\x00", BAD),
    ("app.exa\x00mple.com", BAD),
    ("app example.com", BAD),
    ("app.example.com\t", BAD),
    ("app.example.com,evil.test", BAD),
    ("a,b", BAD),
    ("app.example.com;x", BAD),
    ("::1", BAD),
    ("[::1", BAD),
    ("[::1]x", BAD),
    ("[fe80::1%25eth0]", BAD),
    ("127.1", BAD),
    ("0x7f000001", BAD),
    ("2130706433", BAD),
    ("1.2.3.4.5", BAD),
    ("a" * 64 + ".example.com", BAD),
    ("a." * 130 + "com", BAD),
    ("\udcff.example.com", BAD),
    ("xn--\u00fc.example", BAD),
]

# 3.1, 3.2: method, scheme, whether http is allowed, expected scheme (BAD: malformed)
WORDS: list[tuple[str, str, bool, str | None]] = [
    ("GET", "https", False, "https"),
    ("HEAD", "https", False, "https"),
    ("OPTIONS", "https", False, "https"),
    ("PROPFIND", "https", False, "https"),
    ("A" * 20, "https", False, "https"),
    ("GET", "HTTPS", False, "https"),
    ("GET", "wss", False, "https"),
    ("GET", "http", True, "http"),
    ("GET", "ws", True, "http"),
    ("GET", "http", False, BAD),
    ("GET", "ws", False, BAD),
    ("GET", "ftp", True, BAD),
    ("GET", "https,http", True, BAD),
    ("GET", "https, https", True, BAD),
    ("GET", " https", True, BAD),
    ("get", "https", False, BAD),
    ("Get", "https", False, BAD),
    ("GET ", "https", False, BAD),
    ("GET,POST", "https", False, BAD),
    ("M-SEARCH", "https", False, BAD),
    ("GET\n", "https", False, BAD),
    ("GÉT", "https", False, BAD),
    ("A" * 21, "https", False, BAD),
]

# 2: lines of one header, which of them counts (BAD: malformed)
LINES: list[tuple[list[str], str | None]] = [
    (["/a"], "/a"),
    (["/a", "/a"], "/a"),
    (["/a", "/b"], BAD),
    (["/a", ""], BAD),
    (["", "/a"], BAD),
    ([""], BAD),
    ([], BAD),
]

# 3.5: raw path, readings of which an application may have any
VARIANTS: list[tuple[str, set[str]]] = [
    ("/plain/../x", {"/x"}),
    ("/x/..;/admin", {"/x/..;/admin", "/admin"}),
    ("/x/..;a=b/admin", {"/x/..;a=b/admin", "/admin"}),
    ("/admin;x/y", {"/admin;x/y", "/admin/y"}),
    ("/a;x%2f..%2fadmin", {"/a;x%2f..%2fadmin", "/a", "/admin"}),
    ("/admin/..%2fpublic", {"/public", "/admin/..%2fpublic", "/admin/../public"}),
    ("/x/../admin/..%2fpublic", {"/public", "/x/../admin/..%2fpublic", "/admin/..%2fpublic", "/admin/../public"}),
    ("/public/%2e%2e/admin", {"/admin", "/public/%2e%2e/admin", "/public/../admin"}),
    ("/x/..%3b/admin", {"/x/..;/admin", "/admin"}),
]


def of(uri: str = "/", host: str = "app.example.com", method: str = "GET", scheme: str = "https", insecure: bool = False) -> Target:
    """A target by the headers of forward-auth."""
    return forward_auth_target([method], [scheme], [host], [uri], insecure=insecure)


def test_envoy_asks_for_the_root() -> None:
    assert ext_authz_target("GET", ["https"], ["app.example.com"], "").path == "/"


def test_reasons_repeat_nothing() -> None:
    for uri in ("/planted%zz", "/planted%00", "/planted%252e", "planted", "/planted#"):
        with pytest.raises(Malformed) as refused:
            of(uri)
        assert "planted" not in str(refused.value)


def test_the_tables_are_long_enough() -> None:
    assert len(PATHS) + len(HOSTS) + len(WORDS) + len(LINES) >= 200


@pytest.mark.parametrize(("uri", "path"), PATHS, ids=lambda value: ascii(value)[:40])
def test_path(uri: str, path: str | None) -> None:
    asked = [lambda: of(uri)]
    if uri:  # Envoy's empty rest is the root
        asked.append(lambda: ext_authz_target("GET", ["https"], ["app.example.com"], uri))
    if uri.startswith("/"):  # else it is part of the host
        asked.append(lambda: auth_request_target([f"https://app.example.com{uri}"], ["GET"]))
    for ask in asked:
        if path is BAD:
            with pytest.raises(Malformed):
                ask()
        else:
            assert ask().path == path
            assert ask().uri.isascii()


@pytest.mark.parametrize(("authority", "expected"), HOSTS, ids=lambda value: ascii(value)[:40])
def test_host(authority: str, expected: tuple[str, int | None] | None) -> None:
    for ask in (
        lambda: of(host=authority),
        lambda: auth_request_target([f"https://{authority}/"], ["GET"]),
        lambda: ext_authz_target("GET", ["https"], [authority], "/"),
    ):
        if expected is BAD:
            with pytest.raises(Malformed):
                ask()
        else:
            assert (ask().host, ask().port) == expected


@pytest.mark.parametrize(("method", "scheme", "insecure", "expected"), WORDS)
def test_method_and_scheme(method: str, scheme: str, insecure: bool, expected: str | None) -> None:
    if expected is BAD:
        with pytest.raises(Malformed):
            of(method=method, scheme=scheme, insecure=insecure)
    else:
        assert of(method=method, scheme=scheme, insecure=insecure).scheme == expected


@pytest.mark.parametrize(("lines", "expected"), LINES)
@pytest.mark.parametrize("place", range(4))
def test_lines(lines: list[str], expected: str | None, place: int) -> None:
    good = ["GET", "https", "app.example.com", "/a"]
    arguments = [[text] for text in good]
    arguments[place] = [good[place] if line == "/a" else line for line in lines]
    if expected is BAD:
        with pytest.raises(Malformed):
            forward_auth_target(*arguments)
    else:
        assert forward_auth_target(*arguments) == of("/a")


@pytest.mark.parametrize(
    "url",
    [
        "app.example.com/a",
        "//app.example.com/a",
        "https:/app.example.com/a",
        "https://",
        "https:///a",
        "https://app.example.com",
        "https://public.example.com?/admin",  # a Host header with a question mark
        "https://public.example.com#/admin",
        "javascript://app.example.com/a",
        " https://app.example.com/a",
    ],
)
def test_original_url(url: str) -> None:
    with pytest.raises(Malformed):
        auth_request_target([url], ["GET"])


@pytest.mark.parametrize(("raw", "expected"), VARIANTS)
def test_readings(raw: str, expected: set[str]) -> None:
    target = of(raw)
    assert expected <= {target.path, *target.variants}
    assert len({target.path, *target.variants}) == 1 + len(target.variants)


@pytest.mark.parametrize(
    ("host", "uri", "url"),
    [
        ("app.example.com:443", "/a%2Fb?c=%20", "https://app.example.com/a%2Fb?c=%20"),  # 3.7: %2F survives
        ("APP.example.com.:8443", "//x", "https://app.example.com:8443//x"),
        ("[::1]:444", "/", "https://[::1]:444/"),
        ("bücher.example", "/ö", "https://xn--bcher-kva.example/%C3%B6"),
    ],
)
def test_return_url(host: str, uri: str, url: str) -> None:
    assert of(uri, host).url == url


@given(st.text(alphabet="/.%;2fFeE5cC3bB0aAdmin?#\\ \n\xf6\udcff", max_size=40))
def test_any_path_is_clean_or_refused(text: str) -> None:
    try:
        target = of("/" + text)
    except Malformed:
        return
    assert target.path.startswith("/")
    assert "//" not in target.path
    assert not {".", ".."} & set(target.path.split("/"))
    assert not set("\0\n\\") & set(target.path + target.uri)
    # What is clean already is read in one way.
    assert of(target.uri).path == target.path


@given(st.text(max_size=30))
def test_any_host_is_plain_or_refused(text: str) -> None:
    try:
        host = parse_host(text)
    except MalformedHost:
        return
    assert parse_host(host) == host
    assert not set(" @/\\%?#,\0\n") & set(host)


@pytest.mark.parametrize(
    ("host", "domain", "within"),
    [
        ("example.com", "example.com", True),
        ("a.example.com", "example.com", True),
        ("badexample.com", "example.com", False),
        ("example.com.evil.test", "example.com", False),
        ("com", "example.com", False),
    ],
)
def test_label_boundaries(host: str, domain: str, within: bool) -> None:
    assert is_within(host, domain) is within
