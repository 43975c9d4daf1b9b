"""Policy documents: what is read, what is refused and how it is said, and hostile ones (vault.md 9.1, 14)."""

from __future__ import annotations

import base64
import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.grants.policies.book import DEFAULT_TEXT
from gateway.grants.policies.document import Block, PolicyError, Value, read
from gateway.grants.policies.policy import Rule, decode, parse


def plain(value: Value) -> Any:
    """A document as lists of (keys..., value), for comparison."""
    if isinstance(value, Block):
        return [(*item.keys, plain(item.value)) for item in value.items]
    return [plain(one) for one in value] if isinstance(value, list) else value


DOCUMENTS = [
    ("empty", "", []),
    ("blanks and comments", " # a\n// b\n/* c\n * d */\t\r\n", []),
    ("byte order mark", "\ufeffa = 1", [("a", 1)]),
    ("scalars", 'a = 1 b = -2.5 c = true d = false e = "x" f = 0x1F g = 1e3', [("a", 1), ("b", -2.5), ("c", True), ("d", False), ("e", "x"), ("f", 31), ("g", 1000.0)]),
    ("names", "a-b.c_d = 1\nümlaut = 2", [("a-b.c_d", 1), ("ümlaut", 2)]),
    ("quoted key", '"a b" = 1', [("a b", 1)]),
    ("block with labels", 'path "a" { x = 1 }', [("path", "a", [("x", 1)])]),
    ("block with equals", "a = { b = 1, c = 2 }", [("a", [("b", 1), ("c", 2)])]),
    ("lists", 'a = [] b = ["x", 1, true,] c = [[1], {d = 2}]', [("a", []), ("b", ["x", 1, True]), ("c", [[1], [("d", 2)]])]),
    ("comment in a list", 'a = ["x", # y\n "z" // last\n]', [("a", ["x", "z"])]),
    ("mark of a comment in a string", 'a = "x # y // z /* w"', [("a", "x # y // z /* w")]),
    ("escapes", r'a = "\n\t\"\\\x41\101é\U0001F600"', [("a", '\n\t"\\AAé😀')]),
    ("repetitions stay", "a = 1\na = 2", [("a", 1), ("a", 2)]),
    ("heredoc", "a = <<EOT\nx \n  y\nEOT\nb = 1", [("a", "x \n  y\n"), ("b", 1)]),
    ("indented heredoc", "a = <<-EOT\n    x\n      y\n    EOT\n", [("a", "x\n  y\n")]),
    ("heredoc less indented than its end", "a = <<-EOT\n x\n    EOT\n", [("a", " x\n")]),
    ("heredoc at the end of the file", "a = <<E\nE", [("a", "")]),
    ("heredoc holds anything", 'a = <<E\n"{[\\\nE\n', [("a", '"{[\\\n')]),
    ("carriage returns", 'a = 1\r\nb = <<E\r\nx\r\nE\r\n', [("a", 1), ("b", "x\r\n")]),
    ("dollar is text", 'a = "${x}"', [("a", "${x}")]),
    ("JSON", ' {"a": {"b": ["c", 1.5, null, true]}}', [("a", [("b", ["c", 1.5, None, True])])]),
]  # fmt: skip


@pytest.mark.parametrize(("about", "text", "expected"), DOCUMENTS, ids=[row[0] for row in DOCUMENTS])
def test_documents(about: str, text: str, expected: Any) -> None:
    assert plain(read(text)) == expected


BROKEN = [
    ('path "a" {', "at 1:11: expected }, found the end"),
    ('path "a" }', "at 1:10: expected { after several keys, found '}'"),
    ("path", "at 1:5: expected = or { after 'path', found the end"),
    ('path "a"', "at 1:9: expected { after several keys, found the end"),
    ('path "a" = 1', "at 1:10: expected { after several keys, found '='"),
    ("}", "at 1:1: unexpected '}'"),
    ("a = 1\nb = ,", "at 2:5: expected a value, found ','"),
    ("a = b", "at 1:5: expected a value, found 'b'"),
    ("a = [1 2]", "at 1:8: expected ], found '2'"),
    ("a = [,]", "at 1:6: expected a value, found ','"),
    ('a = "x', "at 1:5: string not terminated"),
    ('a = "x\n"', "at 1:5: string not terminated"),
    (r'a = "x\"', "at 1:5: string not terminated"),
    (r'a = "\q"', r"at 1:6: invalid escape \q"),
    (r'a = "\ud800"', r"at 1:6: invalid escape \ud800"),
    (r'a = "\xff"', r"at 1:6: invalid escape \xff"),
    (r'a = "\U00110000"', r"at 1:6: invalid escape \U00110000"),
    ("a = 1 /* b", "at 1:7: comment not terminated"),
    ("a = <<E\nx", "at 1:5: heredoc not terminated"),
    ("a = 012", "at 1:5: unexpected character '0'"),
    ("a = 1x", "at 1:5: unexpected character '1'"),
    ("a = @", "at 1:5: unexpected character '@'"),
    ("é = 1\nü = ]", "at 2:5: expected a value, found ']'"),
    ('{"a": 1', "at 1:8: Expecting ',' delimiter"),
    ('{"a": NaN}', "NaN is not JSON"),
    ("a = 1 " + "#" * 2**18, "the document is larger than 262144 characters"),
    ("a = " + "[" * 100_000, "at 1:21: more than 16 levels"),
    ("a = " * 50_000, "at 1:5: expected a value"),
    ('{"a":' + "[" * 100_000, "more than 16 levels"),
    ('{"a":' + "[" * 40 + "]" * 40 + "}", "more than 20000 values, or more than 16 levels"),
    ("a = 1\n" * 20_001, "at 20001:5: more than 20000 values"),
    ('{"a": [' + "1," * 20_000 + "1]}", "more than 20000 values, or more than 16 levels"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_broken_documents(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read(text)
    assert str(caught.value).startswith(message)


REFUSED = [
    ("9.1 unknown top-level key", "sudo = true", 'invalid key "sudo" on line 1'),
    ("9.1 unknown key", 'path "a" {\n  capabilites = ["read"]\n}', 'path "a": invalid key "capabilites" on line 2'),
    ("9.1 unknown capability", 'path "a" {\n  capabilities = ["reed"]\n}', 'path "a": invalid capability "reed" at 2:3'),
    ("9.1 capability in capitals", 'path "a" { capabilities = ["READ"] }', 'path "a": invalid capability "READ" at 1:12'),
    ("9.1 root is no capability", 'path "a" { capabilities = ["root"] }', 'path "a": invalid capability "root"'),
    ("9.1 unknown word beside deny", 'path "a" { capabilities = ["deny", "x"] }', 'path "a": invalid capability "x"'),
    ("9.1 capabilities as text", 'path "a" { capabilities = "read" }', 'path "a": capabilities must be a list of strings at 1:12'),
    ("9.1 capabilities of numbers", 'path "a" { capabilities = [1] }', 'path "a": capabilities must be a list of strings'),
    ("9.1 old form, unknown", 'path "a" { policy = "rw" }', 'path "a": invalid policy "rw" at 1:12'),
    ("9.1 old form, no text", 'path "a" { policy = 1 }', 'path "a": invalid policy int'),
    ("9.1 +*", 'path "a/+*" { }', "path \"a/+*\": invalid use of wildcards ('+*' is forbidden) at 1:1"),
    ("9.1 key twice", 'path "a" { policy = "read"\npolicy = "deny" }', 'path "a": The argument "policy" at 2:1 was already set. Each argument can only be defined once'),
    ("9.1 key twice in JSON", '{"path": {"a": {"policy": "read", "policy": "deny"}}}', 'path "a": The argument "policy" was already set.'),
    ("9.1 no label", "path { }x", "at 1:10: expected = or { after 'x', found the end"),
    ("9.1 two labels", 'path "a" "b" { }', "path takes one label at 1:1"),
    ("9.1 a label without block", "path = 1", "path needs a label at 1:1"),
    ("9.1 path of text", '{"path": {"a": "read"}}', 'path "a": a block of settings is expected'),
    ("9.1 narrowing keys that are not understood", 'path "a" { control_group = {} }', 'path "a": invalid key "control_group" on line 1'),
    ("9.1 narrowing keys that are not understood: MFA", 'path "a" { mfa_methods = ["x"] }', 'path "a": invalid key "mfa_methods" on line 1'),
    ("templates", 'path "a/{{request.x}}" { }', 'path "a/{{request.x}}": failed to validate policy templating'),
    ("templates that are not filled here", 'path "a/{{identity.entity.name}}" { }', 'path "a/{{identity.entity.name}}": failed to validate policy templating: only {{identity.entity.id}} can be filled at 1:1'),
    ("templates of aliases", 'path "a/{{identity.entity.aliases.x.name}}" { }', 'path "a/{{identity.entity.aliases.x.name}}": failed to validate'),
    ("templates, broken", 'path "a/{{identity.entity.id" { }', 'path "a/{{identity.entity.id": failed to validate policy templating'),
    ("parameters without list", 'path "a" { allowed_parameters { x = "1" } }', 'path "a": allowed_parameters: x must be a list at 1:33'),
    ("parameters without block", 'path "a" { denied_parameters = ["x"] }', 'path "a": denied_parameters must be a block at 1:12'),
    ("parameters twice", 'path "a" { denied_parameters { x = [] X = [] } }', 'path "a": denied_parameters: "x" is given twice at 1:39'),
    ("wrapping times", 'path "a" { min_wrapping_ttl = "2m" max_wrapping_ttl = 60 }', 'path "a": max_wrapping_ttl cannot be less than min_wrapping_ttl at 1:36'),
    ("wrapping time, negative", 'path "a" { min_wrapping_ttl = -1 }', 'path "a": error parsing min_wrapping_ttl at 1:12'),
    ("wrapping time, empty", 'path "a" { min_wrapping_ttl = "" }', 'path "a": error parsing min_wrapping_ttl'),
    ("wrapping time, unit missing", 'path "a" { min_wrapping_ttl = "1h30" }', 'path "a": error parsing min_wrapping_ttl'),
    ("wrapping time, boolean", 'path "a" { min_wrapping_ttl = true }', 'path "a": error parsing min_wrapping_ttl'),
    ("not HCL", "hello", "at 1:6: expected = or { after 'hello', found the end"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "text", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_policies(about: str, text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"failed to parse policy: {message}")


HCL = 'name = "x" path "a/*" { capabilities = ["read"] comment = "c" } path "b" { policy = "deny" }'


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x", "path": {"a/*": {"capabilities": ["read"]}, "b": {"policy": "deny"}}}',
        '{"path": [{"a/*": {"capabilities": ["read"]}}, {"b": {"capabilities": ["deny"]}}]}',
        '{"path": {"a/*": [{"capabilities": ["read"]}], "b": [{"policy": "deny"}]}}',
        'path = { "a/*" { capabilities = ["read"] } "b" { policy = "deny" } }',
    ],
)
def test_both_forms_say_the_same(text: str) -> None:
    assert parse(text) == parse(HCL)
    assert json.dumps([str(rule.pattern.text) for rule in parse(text)]) == '["a/", "b"]'


@pytest.mark.parametrize(
    ("sent", "document"),
    [
        (HCL, HCL),
        (base64.b64encode(HCL.encode()).decode(), HCL),
        ("", ""),
        ("_not+base64", "_not+base64"),
        (base64.b64encode(b"\xff").decode(), "/w=="),
    ],
)
def test_base64(sent: str, document: str) -> None:
    assert decode(sent) == document


pieces = st.sampled_from(
    ["path ", '"a" ', "{", "}", "[", "]", "=", ",", "\n", "capabilities", ' "read"', "policy", '"', "\\", "<<E\n", "E\n", "/*", "#", "1", "-", "{{", "é", "\0", "true", ":"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_anything_is_read_or_refused(text: str) -> None:
    outcome: tuple[Rule, ...] | str
    try:
        outcome = parse(text)
    except PolicyError as error:
        outcome = str(error)
        assert outcome.startswith("failed to parse policy: ")
    assert isinstance(outcome, tuple | str)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.sampled_from(["", "a", "policy", "capabilities", "read", "+*", "é{{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["", "a", "policy", "capabilities", "read", "+*", "é{{"]), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["path", "name", "x"]), json_values, max_size=3))
def test_any_json_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        parse(json.dumps(document))
    except PolicyError as error:
        assert str(error).startswith("failed to parse policy: ")


@pytest.mark.parametrize(
    "piece", ['"', "/*", "a=<<E\n", "a ", "a{", 'a="\\x41"\n', "<<E\nE\n", "\\", "# x\n", "a=1 ", 'path "a" {} '], ids=repr
)
def test_time_is_linear(piece: str) -> None:
    """Quadratic work on a quarter of a megabyte would take minutes."""
    text = piece * (2**18 // len(piece))
    started = time.process_time()
    with suppress(PolicyError):
        parse(text)
    assert time.process_time() - started < 10


def test_the_default_policy_is_the_one_of_the_contract() -> None:
    given = {rule.pattern.text: sorted(rule.rights.capabilities) for rule in parse(DEFAULT_TEXT)}
    assert given == {
        "auth/token/lookup-self": ["read"],
        "auth/token/renew-self": ["update"],
        "auth/token/revoke-self": ["update"],
        "sys/capabilities-self": ["update"],
        "sys/leases/renew": ["update"],
        "sys/leases/lookup": ["update"],
        "sys/wrapping/wrap": ["update"],
        "sys/wrapping/lookup": ["update"],
        "sys/wrapping/unwrap": ["update"],
    }
