"""Which mount is which server, and the document of its mappings (configuration.md 1.6; vault.md 2, 9)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.load import ConfigurationError, load
from gateway.vault_mappings import UnusableDocument, difference, document_of, read_document
from gateway.vault_mounts import Mounts

SERVER = {"preset": "vault"}


def mounts(servers: dict[str, Any], **vault: Any) -> Mounts:
    environment = {"CLEARML__servers": json.dumps(servers), "CLEARML__vault": json.dumps(vault)}
    return Mounts(load([], environment).configuration)


# servers, vault.mounts, path -> server of logins; configuration.md 1.6
MOUNTED: list[tuple[list[str], dict[str, str], dict[str, str]]] = [
    ([], {}, {"local": "local"}),
    (["corp", "a/b"], {}, {"corp": "corp", "a/b": "a/b", "local": "local"}),
    (["corp"], {"ldap": "*"}, {"ldap": "", "corp": "corp", "local": "local"}),
    (["corp"], {"/ldap/": "Corp"}, {"ldap": "corp", "local": "local"}),
    (["corp"], {"ldap": "corp", "people": "local"}, {"ldap": "corp", "people": "local"}),
]
# path, what takes it; vault.md 9
TAKEN = [("new", ""), ("a", "a/b"), ("a/b", "a/b"), ("A/B/c", "a/b"), ("ab", ""), ("token", "token"), ("local/x", "local")]
# vault.mounts with one server ``corp``
REFUSED = [{"ldap": "nowhere"}, {"token": "corp"}, {"local": "corp"}, {"": "corp"}, {"a": "corp", "/A": "*"}]
# a document, what is wrong with it
BROKEN: list[tuple[Any, str]] = [
    ([], "the document: expected a table"),
    ({"grups": {}}, "the document: unknown key grups"),
    ({"groups": ["a"]}, "groups: expected a table"),
    ({"groups": {"a": "b"}}, "groups.a: expected a list of texts"),
    ({"groups": {"A": [], "a": []}}, "groups.a: is there twice"),
    ({"groups": {" ": []}}, "groups: a name is empty"),
    ({"users": {"a": {"polices": []}}}, "users.a: unknown key polices"),
    ({"users": {"a": {"groups": [1]}}}, "users.a.groups: expected a list of texts"),
    ({"users": {"a": {"groups": ["x\ny"]}}}, r"users.a.groups: x\\ny: characters"),
    ({"groups": {"a\x1b[31m": []}}, r"groups.a\\x1b\[31m: a name with characters"),
    ({"groups": {"x" * 513: []}}, "groups.x+: no path"),
    ({"groups": {"a/../b": []}}, "groups.a/../b: no path"),
    ({"users": {"a/": {}}}, "users.a/: no path"),
]


@pytest.mark.parametrize(("servers", "given", "expected"), MOUNTED, ids=[str(n) for n in range(len(MOUNTED))])
def test_mounts(servers: list[str], given: dict[str, str], expected: dict[str, str]) -> None:
    found = mounts(dict.fromkeys(servers, SERVER), mounts=given)
    assert {path: mount.login_server for path, mount in found.all.items()} == expected
    accessors = {mount.accessor: mount for mount in found.all.values()}
    assert len(accessors) == len(expected)
    assert all(found.by_accessor(accessor) is mount for accessor, mount in accessors.items())


@pytest.mark.parametrize(("path", "by"), TAKEN)
def test_what_takes_a_path(path: str, by: str) -> None:
    assert mounts({"a/b": SERVER}).taken(path) == by


@pytest.mark.parametrize("given", REFUSED, ids=json.dumps)
def test_refused_mounts(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"vault\.mounts"):
        mounts({"corp": SERVER}, mounts=given)


@pytest.mark.parametrize(("raw", "text"), BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_broken_documents(raw: Any, text: str) -> None:
    with pytest.raises(UnusableDocument, match=f"^{text}"):
        read_document(raw, mounts({"corp": SERVER}).all["corp"])


def test_a_document_as_it_was_exported_changes_nothing() -> None:
    """Names stay as a file spells them; what holds for every mount is not in it."""
    own = {"groups": {"Ops": ["a"]}, "users": {"Ada": {"groups": ["x"]}}}
    mount = mounts({"corp": {**SERVER, "vault": own}}, groups={"everywhere": ["b"]}).all["corp"]
    document = document_of(mount)
    assert document == {"groups": {"Ops": ["a"]}, "users": {"Ada": {"groups": ["x"], "policies": []}}}
    assert list(difference(document, read_document(document, mount))) == []
    folded = {"groups": {"OPS": ["a"]}, "users": {"ADA": {"groups": ["X"]}}}
    assert list(difference(document, read_document(folded, mount))) == []
    assert mount.groups == {"ops": ("a",), "everywhere": ("b",)}
