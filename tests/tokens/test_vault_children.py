"""Which tokens a token may make, as a table (vault.md 6, 8; ``handleCreateCommon`` upstream)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.store.interface import TokenRow
from gateway.tokens.vault_children import CreateRequest, NewToken, TokenRole, child, login_policies, policies, unchanged
from gateway.tokens.vault_ttl import Refused


def row(*policies: str, **changes: Any) -> TokenRow:
    values: dict[str, Any] = {
        "hash": b"", "accessor": "above", "kind": "vault", "identity": "i1", "created_at": 0, "server": "corp",
        "policies": policies, "expires_at": 1000,
    }  # fmt: skip
    return TokenRow(**values | changes)


ROOT = row("root", identity=None, server="", expires_at=None)
ADA = row("a", "b", "default")
BARE = row("a")
Want = CreateRequest

POLICIES = [
    ("8 none asked: the parent's", ADA, Want(), False, None, ("a", "b", "default")),
    ("8 none asked: default is not added", BARE, Want(), False, None, ("a",)),
    ("8 none asked, no default", ADA, Want(no_default_policy=True), False, None, ("a", "b")),
    ("8 subset", ADA, Want(policies=["a"]), False, None, ("a", "default")),
    ("8 subset, folded", ADA, Want(policies=[" B ", "A"]), False, None, ("a", "b", "default")),
    ("8 subset, no default", ADA, Want(policies=["a"], no_default_policy=True), False, None, ("a",)),
    ("8 default of a parent without it", BARE, Want(policies=["a"]), False, None, ("a",)),
    ("8 default asked of a parent without it", BARE, Want(policies=["default"]), False, None, "child policies must be subset of parent"),
    ("8 no subset", ADA, Want(policies=["a", "c"]), False, None, "child policies must be subset of parent"),
    ("8 sudo may give what it has not", ADA, Want(policies=["c"]), True, None, ("c", "default")),
    ("14 sudo gives no root", ADA, Want(policies=["root"]), True, None, "root tokens may not be created without parent token being root"),
    ("14 root by odd spelling", ADA, Want(policies=[" Root"]), True, None, "root tokens may not be created"),
    ("14 no root for others", ADA, Want(policies=["root"]), False, None, "child policies must be subset of parent"),
    ("8 root gives root", ROOT, Want(), True, None, ("root",)),
    ("8 root gives less", ROOT, Want(policies=["x"]), True, None, ("default", "x")),
    ("8 root stands alone", ROOT, Want(policies=["x", "root"]), True, None, ("root",)),
    ("6 response-wrapping", ROOT, Want(policies=["response-wrapping"]), True, None, 'cannot assign policy "response-wrapping"'),
    ("8 role: what it allows", ADA, Want(), False, TokenRole(name="r", allowed_policies=["x"]), ("default", "x")),
    ("8 role: asked", ADA, Want(policies=["y"]), False, TokenRole(name="r", allowed_policies=["x", "y"]), ("default", "y")),
    ("8 role: not allowed", ADA, Want(policies=["a"]), False, TokenRole(name="r", allowed_policies=["x"]), 'token policy "a" is not in the set'),
    ("8 role: glob", ADA, Want(policies=["dev-1"]), False, TokenRole(name="r", allowed_policies_glob=["dev-*"]), ("default", "dev-1")),
    ("8 role: glob in the middle is plain", ADA, Want(policies=["d-v"]), False, TokenRole(name="r", allowed_policies_glob=["d*v"]), 'token policy "d-v"'),
    ("8 role: glob has no regex", ADA, Want(policies=["devx1"]), False, TokenRole(name="r", allowed_policies_glob=["dev.*"]), 'token policy "devx1"'),
    ("8 role: disallowed", ADA, Want(policies=["x", "y"]), False, TokenRole(name="r", allowed_policies=["x", "y"], disallowed_policies=["Y"]), 'token policy "y" is disallowed'),
    ("8 role: disallowed glob", ADA, Want(policies=["ops-1"]), False, TokenRole(name="r", allowed_policies_glob=["*"], disallowed_policies_glob=["*-1"]), 'token policy "ops-1" is disallowed'),
    ("8 role: only disallowed, others asked", ADA, Want(policies=["ops"]), False, TokenRole(name="r", disallowed_policies=["x"]), "child policies must be subset of parent"),
    ("8 role: only disallowed, own asked", ADA, Want(policies=["a"]), False, TokenRole(name="r", disallowed_policies=["x"]), ("a", "default")),
    ("8 role: only disallowed, sudo", ADA, Want(policies=["ops"]), True, TokenRole(name="r", disallowed_policies=["x"]), ("default", "ops")),
    ("8 role: only disallowed, sudo, that one", ADA, Want(policies=["x"]), True, TokenRole(name="r", disallowed_policies=["x"]), 'token policy "x" is disallowed'),
    ("8 role: only disallowed, none asked", ADA, Want(), False, TokenRole(name="r", disallowed_policies=["x"]), ("a", "b", "default")),
    ("8 role: default disallowed", ADA, Want(), False, TokenRole(name="r", allowed_policies=["x"], disallowed_policies=["default"]), ("x",)),
    ("8 role: no default", ADA, Want(), False, TokenRole(name="r", allowed_policies=["x"], no_default_policy=True), ("x",)),
    ("8 role without policies: as without role", ADA, Want(policies=["c"]), False, TokenRole(name="r"), "child policies must be subset of parent"),
    ("14 role gives no root", ADA, Want(), False, TokenRole(name="r", allowed_policies=["root"]), "root tokens may not be created"),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "parent", "request_", "sudo", "role", "expected"), POLICIES, ids=[line[0] for line in POLICIES])
def test_policies(proves: str, parent: TokenRow, request_: Want, sudo: bool, role: TokenRole | None, expected: tuple[str, ...] | str) -> None:
    try:
        outcome: tuple[str, ...] | str = child(parent, request_, sudo=sudo, role=role).policies
    except Refused as refused:
        outcome = str(refused)[: len(expected)]
    assert outcome == expected


REFUSED = [
    ("8 batch parent", row("a", accessor=""), Want(), True, "batch tokens cannot create more tokens"),
    ("8 limited parent", row("a", uses_left=5), Want(), True, "restricted use token cannot generate child tokens"),
    ("8 orphan without sudo", ADA, Want(no_parent=True), False, "root or sudo privileges required to create orphan token"),
    ("8 period without sudo", ADA, Want(period=60), False, "root or sudo privileges required to create periodic token"),
    ("8 id without sudo", ADA, Want(id="x"), False, "root or sudo privileges required to specify token id"),
    ("8 id that looks like another", ADA, Want(id="hvs.x"), True, "custom token ID"),
    ("8 id that is not printable", ADA, Want(id="a\nb"), True, "custom token ID"),
    ("3 negative uses", ADA, Want(num_uses=-1), True, "ttl, explicit_max_ttl, period and num_uses cannot be negative"),
    ("3 a time that no column holds", ADA, Want(explicit_max_ttl=10**30), True, "ttl, explicit_max_ttl"),
    ("3 negative ttl", ADA, Want(ttl=-1), True, "ttl, explicit_max_ttl"),
    ("3 type", ADA, Want(type="x"), True, "invalid 'token_type' value \"x\""),
    ("8 batch with uses", ADA, Want(type="batch", num_uses=1), True, 'batch tokens cannot have "num_uses" set'),
    ("8 batch with period", ADA, Want(type="batch", period=1), True, 'batch tokens cannot have "period" set'),
    ("8 batch of root", ROOT, Want(type="batch"), True, "batch tokens cannot be root tokens"),
    ("8 endless root of an ending one", row("root"), Want(), True, "expiring root tokens cannot create non-expiring root tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "parent", "request_", "sudo", "text"), REFUSED, ids=[line[0] for line in REFUSED])
def test_refused(proves: str, parent: TokenRow, request_: Want, sudo: bool, text: str) -> None:
    with pytest.raises(Refused) as caught:
        child(parent, request_, sudo=sudo)
    assert str(caught.value).startswith(text)


def made(parent: TokenRow = ADA, *, orphan: bool = False, role: TokenRole | None = None, **asked: Any) -> NewToken:
    return child(parent, Want(**asked), sudo=True, orphan=orphan, role=role)


ROLE = TokenRole(name="r", period=60, path_suffix="s", num_uses=3, renewable=False, cidrs=("10.0.0.0",), type="service")


@pytest.mark.parametrize(
    ("proves", "token", "expected"),
    [
        ("8 a child", made(), {"parent": "above", "identity": "i1", "server": "corp", "path": "auth/token/create", "display_name": "token", "renewable": True, "type": "service"}),
        ("8 create-orphan", made(orphan=True), {"parent": None, "identity": None, "server": ""}),
        ("8 no_parent", made(no_parent=True), {"parent": None, "identity": None}),
        ("8 orphan role", made(role=TokenRole(name="r", orphan=True)), {"parent": None, "identity": None, "path": "auth/token/create/r"}),
        ("8 display name", made(display_name="a b/ç."), {"display_name": "token-a-b"}),
        ("8 not renewable", made(renewable=False), {"renewable": False}),
        ("8 batch", made(type="batch"), {"renewable": False, "type": "batch"}),
        ("8 role", made(role=ROLE, num_uses=9, period=90), {"num_uses": 3, "renewable": False, "cidrs": ("10.0.0.0",), "path": "auth/token/create/r/s", "role": "r"}),
        ("8 default-batch role", made(role=TokenRole(name="r", type="default-batch")), {"type": "batch"}),
        ("8 default-batch role, overruled", made(role=TokenRole(name="r", type="default-batch"), type="service"), {"type": "service"}),
        ("8 batch role, not overruled", made(role=TokenRole(name="r", type="batch"), type="service"), {"type": "batch"}),
        ("8 bounds go on to children", made(row("a", limits={"cidrs": ["10.0.0.0/8"]})), {"cidrs": ("10.0.0.0/8",)}),
        ("8 root is without end", made(ROOT), {"endless": True, "renewable": False}),
        ("8 root with ttl is not", made(ROOT, ttl=60), {"endless": False, "renewable": True}),
    ],
)  # fmt: skip
def test_made(proves: str, token: NewToken, expected: dict[str, object]) -> None:
    assert {name: getattr(token, name) for name in expected} == expected


def test_a_role_takes_the_lesser_times() -> None:
    terms = made(role=TokenRole(name="r", period=60, explicit_max_ttl=500), period=90, explicit_max_ttl=400, ttl=7).terms
    assert (terms.period, terms.explicit_max_ttl, terms.ttl) == (60, 400, 7)


@pytest.mark.parametrize(
    ("names", "default", "expected"),
    [
        (["foobar", "zoobar"], True, ("default", "foobar", "zoobar")),
        ([" B", "a", "b", ""], False, ("a", "b")),
        ([], False, ()),
        (["ROOT"], True, "auth methods cannot create root tokens"),
        ([" Root ", "a"], True, "auth methods cannot create root tokens"),
        (["Response-Wrapping"], True, 'cannot assign policy "response-wrapping"'),
    ],
)
def test_login_policies(names: list[str], default: bool, expected: tuple[str, ...] | str) -> None:
    """vault.md 6; section 14, CVE-2025-5999."""
    if isinstance(expected, str):
        with pytest.raises(Refused, match=expected):
            login_policies(names, default=default)
    else:
        assert login_policies(names, default=default) == expected


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [(["a", "default"], ["a"], True), (["a"], ["A ", "default"], True), (["a"], ["a", "b"], False), (["a"], [], False)],
)
def test_renewal_needs_the_same_policies(before: list[str], now: list[str], same: bool) -> None:
    """vault.md 6, renewal: ``default`` does not count."""
    assert unchanged(before, now) is same
    assert policies(before, default=False) == tuple(sorted(before))
