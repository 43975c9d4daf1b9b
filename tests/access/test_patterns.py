"""Operators' regular expressions on strangers' texts: linear, and what the shortcut says is what the engine says."""

from __future__ import annotations

import time

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.patterns import LARGEST, LONGEST, BadPattern, Pattern
from gateway.access.target import LONGEST_PATH

# pattern, text, what its named groups hold (None: not found); forward-auth.md 10
FOUND: list[tuple[str, str, dict[str, str] | None]] = [
    ("^/admin", "/admin/x", {}),
    ("^/admin", "/public/admin", None),
    ("admin", "/public/admin", {}),
    ("^/admin(/|$)", "/admin", {}),
    ("^/admin(/|$)", "/administrator", None),
    ("^/admin(/|$)", "/admin/", {}),
    ("^/admin(?:/|$)", "/admin/x", {}),
    ("^/admin(?:/|$)", "/adminx", None),
    ("^/admin/", "/admin", None),
    ("^/admin/(/|$)", "/admin/", {}),
    ("^/admin/(/|$)", "/admin/x", None),
    ("^(/|$)", "/x", {}),
    ("^/ab*c", "/ac", {}),
    ("^/ab+c", "/abbc", {}),
    ("^/ab?", "/a", {}),
    ("^/ab{0}c", "/ac", {}),
    ("^/a|^/b", "/b", {}),
    ("^/a|/b", "/x/b", {}),
    ("^/(a|b)", "/b", {}),
    ("^/a(b|c)|^/d", "/d", {}),
    (r"^/a[(]|^/b[)]", "/b)", {}),
    (r"^/a\(|b\)", "/b)", {}),
    (r"^/ab\Q\E*c", "/ac", {}),
    (r"^/a\Q(\E|/b\Q)\E", "/b)", {}),
    ("^/ab(?i)*c", "/ac", {}),
    ("(?i)^/Admin", "/aDMIN", {}),
    ("^/u/(?P<User>[^/]+)/", "/u/ada/x", {"User": "ada"}),
    ("^/u/(?<User>[^/]+)/", "/u/ada/x", {"User": "ada"}),
    ("^/u/(?P<User>[^/]+)(/(?P<Group>x))?", "/u/jörg/y", {"User": "jörg", "Group": ""}),
    ("^/u/(?P<User>[^/]*)", "/u/", {"User": ""}),
    (r"\.css$", "/x.css", {}),
    (r"\.css\z", "/x.css.html", None),
    (r"^/\pL+$", "/jörg", {}),
    ("^/.$", "/ö", {}),
    ("^/.$", "/😀", {}),
    ("", "/", {}),
]  # fmt: skip
# innocent expressions, and what makes an engine that goes back and forth take seconds or years (peers.md 7)
SLOW_ELSEWHERE: list[tuple[str, str]] = [
    ("[0-9]+-[0-9]+", "1" * 30_000),
    (r"\w+@evil[.]com", "a" * 30_000),
    ("^/.*/.*/.*/edit$", "/a" * (LONGEST_PATH // 2)),
    (r"^/(.*)/(.*)/edit$", "/a" * (LONGEST_PATH // 2)),
    ("^/(?P<User>.*)/(?P<Group>.*)/.*/edit$", "/a" * (LONGEST_PATH // 2)),
    (r"[a-z0-9]+\.php$", "/" + "a" * (LONGEST_PATH - 1)),
    ("^(a+)+$", "a" * 4000 + "b"),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * LONGEST_PATH),
    ("(x+x+)+y", "x" * LONGEST_PATH),
    ("^(?P<User>(a|b)*a(a|b){400})$", "/" + "ab" * (LONGEST_PATH // 2)),
    ("(.{0,100}x){2}", "/" + "ab" * (LONGEST_PATH // 2)),
]  # fmt: skip
REFUSED = [
    "(", "[", "a**", "a{2,1}", "a{1001}", "x" * (LONGEST + 1), "(?=a)", "(?!a)", "(?<!a)b", r"(a)\1", r"\Z", "a++", "(?>a)", "(?x)a",
    "(?P<User", "\\", "\ud800", "[^/]{1,500}", r"(.{1,100}){10}", r"\pL{900}", "(?P<a>x)(?P<a>y)",
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "expected"), FOUND)
def test_found(pattern: str, text: str, expected: dict[str, str] | None) -> None:
    assert Pattern(pattern).find(text) == expected


def test_case() -> None:
    assert Pattern("^/A", ignore_case=True).find("/a") == {}
    assert Pattern("^A(?P<User>X)", ignore_case=True).find("axx") == {"User": "x"}
    assert Pattern("^/A").find("/a") is None


@pytest.mark.parametrize(("pattern", "text"), SLOW_ELSEWHERE)
def test_time_is_linear(pattern: str, text: str) -> None:
    """Milliseconds each, most of them far less."""
    compiled = Pattern(pattern)
    began = time.process_time()
    for _ in range(10):
        compiled.find(text)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("pattern", REFUSED, ids=lambda value: ascii(value)[:30])
def test_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Pattern(pattern)


def test_the_largest() -> None:
    """What one names a segment by is far below, what repeats itself is above."""
    assert Pattern("^/[^/]{1,255}$").find("/" + "a" * 255) == {}
    with pytest.raises(BadPattern, match="too large"):
        Pattern("^/[^/]{1,255}/[^/]{1,255}$")
    assert LARGEST < 10_000


PIECES = st.sampled_from(["(/|$)", "(?:/|$)", "^", "/", "a", "b", "ab", "(", ")", "(?:", "|", "*", "+", "?", "{0}", "{0,1}", "{", "}", "[a", "]", "[^/]", "$", ".", "\\", r"\Q", r"\E", r"\(", r"\)", "(?i)", "(?P<User>", r"\A", "-"])  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=9).map(lambda pieces: "^" + "".join(pieces)), st.text(alphabet="/ab(){-|", max_size=5).map(lambda text: f"/{text}"))
def test_the_shortcut_changes_nothing(pattern: str, text: str) -> None:
    try:
        ours = Pattern(pattern)
    except BadPattern:
        return
    options = re2.Options()
    options.log_errors = False
    assert (ours.find(text) is None) == (re2.compile(pattern, options).search(text) is None)
