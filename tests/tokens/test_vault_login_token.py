"""What a login through a mount gives, under the limits that hold there (vault.md 6; DECISIONS 3)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.grants.mapping import Grants
from gateway.identity import LOCAL, Account, Identity
from gateway.tokens.vault_children import NewToken
from gateway.tokens.vault_login import admits, login_token
from gateway.tokens.vault_ttl import Refused
from gateway.vault_mounts import MountPoint, Mounts


def mount(realm: dict[str, Any], corp: dict[str, Any], local: dict[str, Any] | None = None) -> MountPoint:
    server = {"name": "corp", "host": "ldap.example.com", "search_base_dns": ("dc=example,dc=com",), "vault": corp}
    vault = {"mounts": {"all": "*", "people": "corp"}, "realm": realm, "local": local or {}}
    given = {"state_dir": "/var/empty", "servers": (server,), "vault": vault}
    return Mounts(Configuration.model_validate(given)).all["all"]


def login(at: MountPoint, server: str = "corp", client: str | None = "10.1.2.3") -> NewToken:
    account = Account(server, "id-ada", "ada")
    grants = Grants(at.configuration)
    identity = Identity("1" * 32, "", account, grants.grant(account), 0)
    return login_token(at, identity, grants.policies(account, "ada"), "ada", client)


# proves, what the realm says, what the server says, and what a token gets
LIMITS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("6 the default of either", {}, {"default_lease_ttl": 60}, {"ttl": 60}),
    ("6 the shorter TTL", {"token_ttl": 600}, {"token_ttl": 60}, {"ttl": 60}),
    ("6 the shorter TTL, of the realm", {"token_ttl": 60}, {"token_ttl": 600}, {"ttl": 60}),
    ("6 the shorter maximum", {"token_max_ttl": 600}, {"token_max_ttl": 60}, {"max_ttl": 60}),
    ("6 a maximum of one alone", {}, {"token_max_ttl": 60}, {"max_ttl": 60}),
    ("6 the hard end", {"token_explicit_max_ttl": 600}, {"token_explicit_max_ttl": 60}, {"explicit_max_ttl": 60}),
    ("6 the period of both", {"token_period": 60}, {"token_period": 600}, {"period": 60, "ttl": 60}),
    ("6 a period of one is no period", {"token_period": 60}, {"token_max_ttl": 600}, {"period": 0, "ttl": 60, "max_ttl": 600}),
    ("6 nor that of the server", {}, {"token_period": 60}, {"period": 0, "ttl": 60}),
    ("6 fewer uses", {"token_num_uses": 5}, {"token_num_uses": 3}, {"num_uses": 3}),
    ("6 uses of one alone", {}, {"token_num_uses": 3}, {"num_uses": 3}),
    ("6 no default", {}, {"token_no_default_policy": True}, {"policies": ()}),
    ("6 token_policies are those of the mount", {"token_policies": ["a"]}, {"token_policies": ["b"]}, {"policies": ("a", "default")}),
    ("6 batch, as the mount says", {"token_type": "batch"}, {}, {"type": "batch"}),
    ("6 service, as the server insists", {"token_type": "batch"}, {"token_type": "service"}, {"type": "service"}),
    ("6 batch, as the server insists", {}, {"mount_token_type": "batch"}, {"type": "batch"}),
    ("6 never batch against a limit", {"token_type": "batch"}, {"token_num_uses": 3}, {"type": "service", "num_uses": 3}),
    ("6 networks of the server", {}, {"token_bound_cidrs": ["10.0.0.0/8"]}, {"cidrs": ("10.0.0.0/8",)}),
    ("6 networks of the mount", {"token_bound_cidrs": ["10.0.0.0"]}, {}, {"cidrs": ("10.0.0.0",)}),
    (
        "6 networks in both", {"token_bound_cidrs": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]},
        {"token_bound_cidrs": ["10.1.0.0/16", "2001::/16", "::/128"]}, {"cidrs": ("10.1.0.0/16", "2001:db8::/32")},
    ),
    ("6 the address itself", {"token_bound_cidrs": ["10.0.0.0/8"]}, {"token_strictly_bind_ip": True}, {"cidrs": ("10.1.2.3",)}),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "realm", "corp", "expected"), LIMITS, ids=[row[0] for row in LIMITS])
def test_at_the_realm_both_limits_hold(
    proves: str, realm: dict[str, Any], corp: dict[str, Any], expected: dict[str, Any]
) -> None:
    at = mount(realm, corp)
    new = login(at)
    found = {name: getattr(new.terms if hasattr(new.terms, name) else new, name) for name in expected}
    assert found == expected, proves
    of_local = login(mount(realm, {"token_ttl": 1}, corp), LOCAL)
    assert (of_local.terms, of_local.cidrs, of_local.type) == (new.terms, new.cidrs, new.type), "vault.local binds those"


def test_lease_times_of_both() -> None:
    found = mount({"max_lease_ttl": 600}, {"default_lease_ttl": 60, "max_lease_ttl": 6000}).caps_for("corp")
    assert (found.default_ttl, found.max_ttl) == (60, 600)


def test_elsewhere_its_own_limits_hold_alone() -> None:
    people = Mounts(mount({"token_ttl": 1, "token_num_uses": 1}, {"token_ttl": 60}).configuration).all["people"]
    assert (login(people).terms.ttl, login(people).num_uses) == (60, 0)


def test_networks_without_a_common_address_let_nobody_in() -> None:
    at = mount({"token_bound_cidrs": ["10.0.0.0/8"]}, {"token_bound_cidrs": ["192.0.2.0/24"]})
    assert not admits(at, "corp", "10.0.0.1") and not admits(at, "corp", "192.0.2.1")
    with pytest.raises(Refused, match="no address"):
        login(at)
