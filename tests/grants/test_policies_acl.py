"""What policies allow, row by row, and against a slow evaluator that shares no code with them (vault.md 9.1)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_rows import CAPABILITIES, ROWS, Row, p

from gateway.grants.policies.acl import Acl, Operation
from gateway.grants.policies.book import PolicyBook
from gateway.grants.policies.document import PolicyError

NAMED = {"default", "root", "unknown"}


def acl_of(policies: Sequence[str]) -> Acl:
    """The access list of documents, or of policies by name."""
    texts = {f"p{number}": text for number, text in enumerate(policies) if text not in NAMED}
    names = [text if text in NAMED else f"p{number}" for number, text in enumerate(policies)]
    return PolicyBook(texts).acl(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.proves)
def test_rows(row: Row) -> None:
    operation = Operation(row.operation)
    acl = acl_of(row.policies)
    assert acl.allows(operation, row.path, row.parameters, wrap_seconds=row.wrap_seconds) is row.allowed


def test_there_are_rows_enough() -> None:
    assert len(ROWS) >= 80
    assert len({row.proves for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("proves", "policies", "path", "expected"), CAPABILITIES, ids=[row[0] for row in CAPABILITIES])
def test_capabilities(proves: str, policies: Sequence[str], path: str, expected: list[str]) -> None:
    assert acl_of(policies).capabilities(path) == expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (("root",), True),
        ((p("auth/token/create", "sudo"),), True),
        ((p("auth/token/create", "update"),), False),
        ((p("auth/token/create", "sudo", "deny"),), False),
        ((p("auth/*", "sudo"), p("auth/token/create", "update")), False),
        ((), False),
    ],
)
def test_sudo(policies: Sequence[str], expected: bool) -> None:
    """vault.md 8: who may make orphans, periodic tokens, tokens of a given id."""
    assert acl_of(policies).sudo("auth/token/create") is expected


def test_templates_are_filled_literally() -> None:
    """Of upstream's templated policies: a value never is a wildcard, and never another person's path."""
    book = PolicyBook({"own": 'path "secret/{{identity.entity.id}}/*" { capabilities = ["read"] }', "other": ""})
    read = Operation.READ

    def may(name: str | None, path: str) -> bool:
        return book.acl(["own"], {"identity.entity.id": name} if name is not None else None).allows(read, path)

    assert may("ada", "secret/ada/x")
    assert not may("ada", "secret/bob/x"), "the access list of another value is another one"
    assert may("bob", "secret/bob/x")
    for name in ("*", "+", "", None, "bob/x"):
        assert not may(name, "secret/bob/x")
        assert not may(name, "secret/bob/x/y")
    assert may("+", "secret/+/x")
    assert not may("{{identity.entity.id}}", "secret/ada/x")
    for name in ("ada", "bob"):
        own = book.acl([" OWN"], {"identity.entity.id": name})
        assert [own.allows(read, f"secret/{other}/x") for other in ("ada", "bob")] == [name == "ada", name == "bob"]
    assert book.acl(["other"], {"identity.entity.id": "ada"}) is book.acl(["other"]), "made once without templates"


@pytest.mark.parametrize(
    ("denied", "path", "allowed"),
    [
        ("users/{{identity.entity.id}}", "users/ada", False),
        ("users/{{identity.entity.id}}", "users/ada/x", True),
        ("users/x-{{identity.entity.id}}/*", "users/anything/x", False),
        ("users/{{identity.entity.id}}/", "users/ada", False),
        ("others/{{identity.entity.id}}", "users/ada", True),
    ],
)
def test_a_deny_that_cannot_be_filled_denies_all_it_could_be(denied: str, path: str, *, allowed: bool) -> None:
    """vault.md 9.1: deny wins, also over an exact path; for a token that is nobody's, too."""
    book = PolicyBook({"own": p("*", "read") + p("users/ada", "read") + p(denied, "deny")})
    assert book.acl(["own"]).allows(Operation.READ, path) is allowed
    assert book.acl(["own"], {"identity.entity.id": "bob"}).allows(Operation.READ, path)


def test_book() -> None:
    book = PolicyBook({"Ops ": 'path "a" { capabilities = ["read"] }'})
    assert book.names() == ["default", "ops", "root"]
    assert book.text("OPS") == 'path "a" { capabilities = ["read"] }'
    assert (book.text("root"), book.text("none")) == ("", None)
    assert book.acl(("ops",)) is book.acl(["ops"]), "compiled once"
    assert book.acl([" OPS"]).allows(Operation.READ, "a")
    assert PolicyBook({"default": ""}).acl(["default"]).capabilities("auth/token/lookup-self") == ["deny"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [({"Root": ""}, "policy root cannot be written"), ({"x": "path"}, "policy x: failed to parse policy: at 1:5: ")],
)
def test_book_refuses(texts: dict[str, str], message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        PolicyBook(texts)
    assert str(caught.value).startswith(message)


def test_the_cache_is_bounded() -> None:
    book = PolicyBook({f"p{number}": "" for number in range(12)})
    sets = list(itertools.islice(itertools.permutations([f"p{number}" for number in range(12)], 4), 1500))
    first = book.acl(sets[0])
    for names in sets[1:]:
        book.acl(names)
    assert book.acl(sets[0]) is not first
    assert book.acl(sets[-1]) is book.acl(sets[-1])


# The judge: written from vault.md 9.1, by trying everything, without the gateway's code.

RawRule = tuple[str, tuple[str, ...]]


def fits(rule: str, path: str) -> bool:
    """Segment by segment, from the left."""
    if rule == "*":
        return True
    head, slash, tail = rule.partition("/")
    own, deeper, rest = path.partition("/")
    if not slash:
        if head == "+":
            return not deeper
        if head.endswith("*"):
            return path.startswith(head[:-1])
        return path == head
    return bool(deeper) and head in ("+", own) and fits(tail, rest)


def rank(rule: str) -> tuple[int, int, int, int]:
    pieces = rule.split("/")
    at = [sum(len(piece) + 1 for piece in pieces[:n]) for n, piece in enumerate(pieces) if piece == "+"]
    if rule.endswith("*"):
        at.append(len(rule) - 1)
    return min(at), 0 if rule.endswith("*") else 1, -pieces.count("+"), len(rule.removesuffix("*"))


def judge(rules: list[RawRule], operation: str, path: str) -> set[str] | None:
    """The capabilities on a path; None where no rule speaks of it."""
    wild = [rule for rule, _ in rules if rule.endswith("*") or "+" in rule.split("/")]
    plain = [rule for rule, _ in rules if rule not in wild]
    chosen = None
    if path in plain:
        chosen = path
    elif operation == "list" and path.endswith("/") and path[:-1] in plain:
        chosen = path[:-1]
    else:
        matching = [rule for rule in wild if fits(rule, path)]
        if matching:
            best = max(map(rank, matching))
            chosen = max(rule for rule in matching if rank(rule) == best)
    if chosen is None:
        return None
    found = {capability for rule, given in rules if rule == chosen for capability in given}
    return {"deny"} if "deny" in found else found


@pytest.mark.parametrize(
    ("rules", "operation", "path", "expected"),
    [
        ([("a", ("read",))], "read", "a", {"read"}),
        ([("a", ("read",))], "read", "a/", None),
        ([("a", ("read",))], "list", "a/", {"read"}),
        ([("a/*", ("read",)), ("a/b*", ("list",))], "read", "a/bc", {"list"}),
        ([("a/+/c", ("read",)), ("a/b/+", ("list",))], "read", "a/b/c", {"list"}),
        ([("a/+/c*", ("read",)), ("a/+/c", ("list",))], "read", "a/b/c", {"list"}),
        ([("+/+/c", ("read",)), ("+/b/c", ("list",))], "read", "a/b/c", {"list"}),
        ([("+/b/c*", ("read",)), ("+/b/*", ("list",))], "read", "a/b/c", {"read"}),
        ([("a", ("read",)), ("a", ("deny",))], "read", "a", {"deny"}),
        ([("*", ("read",))], "read", "", {"read"}),
        ([("a/+/*", ("read",))], "read", "a/b", None),
    ],
)
def test_the_judge_first(rules: list[RawRule], operation: str, path: str, expected: set[str] | None) -> None:
    assert judge(rules, operation, path) == expected


segment = st.sampled_from(["a", "b", "ab", "", "+", "a+", "*b"])
rule_path = st.builds(
    lambda segments, star: "/".join(segments) + star, st.lists(segment, min_size=1, max_size=4), st.sampled_from(["", "*", ""])
).filter(lambda path: "+*" not in path and not path.startswith("/"))
capabilities = st.lists(st.sampled_from(["read", "list", "update", "sudo", "deny"]), max_size=3, unique=True).map(tuple)
# Denials are rarer, or hardly anything would be allowed.
rules = st.lists(st.tuples(rule_path, capabilities.filter(lambda given: "deny" not in given) | capabilities), max_size=8)
request_path = st.lists(st.sampled_from(["a", "b", "ab", "", "a+", "*b", "abc"]), min_size=1, max_size=5).map("/".join)


@settings(max_examples=300, deadline=None)
@given(rules, st.integers(1, 3), st.sampled_from(["read", "list", "update"]), request_path)
def test_agrees_with_the_judge(raw: list[RawRule], documents: int, operation: str, path: str) -> None:
    path = path.lstrip("/")
    texts = ["".join(f'path "{rule}" {{ capabilities = [{quoted(given)}] }}\n' for rule, given in raw[n::documents]) for n in range(documents)]
    acl = acl_of(texts)
    expected = judge(raw, operation, path)
    assert acl.allows(Operation(operation), path) is (operation in (expected or ()))
    assert set(acl.capabilities(path)) == (judge(raw, "list", path) or {"deny"})


def quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
