"""vault.md 1: what values, paths and bodies of requests are taken for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.grants.policies.acl import Operation
from gateway.serve.vault.fields import Field, Type, convert, parse_duration
from gateway.serve.vault.paths import decoded_path, operation_of, query_of
from gateway.serve.vault.reply import VaultError
from gateway.serve.vault.values import converted, warnings_of

# type, what was sent, what it is; an error's text where it is none
VALUES: list[tuple[Type, Any, Any]] = [
    *((Type.FLAG, text, True) for text in ("1", "t", "T", "true", "TRUE", "True", True, 1, 1.0)),
    *((Type.FLAG, text, False) for text in ("0", "f", "F", "false", "FALSE", "False", False, 0, "", None)),
    *((Type.FLAG, text, ValueError) for text in ("yes", "tRUE", "2", " true", "on", [], {}, [True])),
    (Type.INTEGER, 5, 5),
    (Type.INTEGER, "5", 5),
    (Type.INTEGER, " 5 ", 5),
    (Type.INTEGER, "-5", -5),
    (Type.INTEGER, 5.0, 5),
    (Type.INTEGER, True, 1),
    (Type.INTEGER, "", 0),
    (Type.INTEGER, None, 0),
    *((Type.INTEGER, text, ValueError) for text in (5.5, "5.0", "0x5", "five", "5s", [], {}, 2**60, "9" * 25, "٥")),
    (Type.DURATION, 90, 90),
    (Type.DURATION, "90", 90),
    (Type.DURATION, "90s", 90),
    (Type.DURATION, "5m", 300),
    (Type.DURATION, "5m0s", 300),
    (Type.DURATION, "24h", 86400),
    (Type.DURATION, "1h30m", 5400),
    (Type.DURATION, "1d", 86400),
    (Type.DURATION, "1.5h", 5400),
    (Type.DURATION, "1500ms", 1),
    (Type.DURATION, 1.9, 1),
    (Type.DURATION, "0s", 0),
    (Type.DURATION, "", 0),
    *((Type.DURATION, text, ValueError) for text in (-1, "-1", "-5m", "5x", "m", "h5", "5 m", "1h-5m", True, [], {}, 1e300)),
    *((Type.DURATION, text, ValueError) for text in ("9" * 65, "9" * 20 + "h", "1e5", "5m5")),
    (Type.TEXTS, "a,b", ["a", "b"]),
    (Type.TEXTS, " a , ,b ", ["a", "b"]),
    (Type.TEXTS, ["a", " b ", 5, True], ["a", "b", "5", "1"]),
    (Type.TEXTS, "", []),
    (Type.TEXTS, None, []),
    (Type.TEXTS, [], []),
    (Type.TEXTS, 5, ["5"]),
    *((Type.TEXTS, text, ValueError) for text in ({}, [[]], [{"a": 1}])),
    (Type.TEXT, "a", "a"),
    (Type.TEXT, 5, "5"),
    (Type.TEXT, 5.0, "5"),
    (Type.TEXT, 5.5, "5.5"),
    (Type.TEXT, True, "1"),
    (Type.TEXT, False, "0"),
    (Type.TEXT, None, ""),
    *((Type.TEXT, text, ValueError) for text in ([], {}, ["a"])),
    (Type.MAPPING, {"a": 1}, {"a": 1}),
    (Type.MAPPING, "a=b", {"a": "b"}),
    (Type.MAPPING, ["a=b", "c=d=e"], {"a": "b", "c": "d=e"}),
    (Type.MAPPING, "", {}),
    (Type.MAPPING, None, {}),
    *((Type.MAPPING, text, ValueError) for text in ("a", ["a"], 5, True)),
    (Type.ANY, [1, {"a": None}], [1, {"a": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "given", "expected"), VALUES, ids=[f"{n}-{row[0].name}" for n, row in enumerate(VALUES)])
def test_value_types_in_requests(type_: Type, given: Any, expected: Any) -> None:
    if expected is ValueError:
        with pytest.raises(ValueError, match=r"expected|negative"):
            convert(type_, given)
        return
    found = convert(type_, given)
    assert found == expected
    assert type(found) is type(expected)


def test_a_negative_duration_says_so() -> None:
    """vault.md 3: the text that clients look for."""
    with pytest.raises(ValueError, match="cannot provide negative value"):
        parse_duration("-60s")


FIELDS = (Field("starttls", Type.FLAG), Field("ttl", Type.DURATION), Field("name"), Field("username"))


def test_a_value_of_the_wrong_type_is_named_and_not_shown() -> None:
    with pytest.raises(VaultError) as refused:
        converted(FIELDS, {}, {"starttls": "hunter2-secret"})
    (text,) = refused.value.texts
    assert refused.value.status == 400
    assert text.startswith('Field validation failed: error converting input for field "starttls": ')
    assert "hunter2" not in text


def test_what_the_path_says_wins() -> None:
    assert converted(FIELDS, {"username": "ada", "mount": "m"}, {"username": "eve"}) == {"username": "ada", "mount": "m"}


def test_null_is_an_empty_value_but_no_time() -> None:
    assert converted(FIELDS, {}, {"name": None, "starttls": None, "ttl": None}) == {"name": "", "starttls": False}


WARNED = [
    ({}, []),
    ({"name": 1}, []),
    ({"b": 1, "a": 2, "name": 1}, ["Endpoint ignored these unrecognized parameters: [a b]"]),
    (
        {"username": "x", "z": 1},
        [
            "Endpoint ignored these unrecognized parameters: [z]",
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [username]",
        ],
    ),
    ({"a\nb": 1}, ["Endpoint ignored these unrecognized parameters: [a\\nb]"]),
    ({f"{n:02}": 1 for n in range(30)}, [f"Endpoint ignored these unrecognized parameters: [{' '.join(f'{n:02}' for n in range(20))} ...]"]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), WARNED, ids=range(len(WARNED)))
def test_warnings_of_other_keys(data: dict[str, Any], expected: list[str]) -> None:
    assert warnings_of(FIELDS, {"username": "ada"}, data) == expected


def test_a_route_without_fields_takes_any() -> None:
    assert warnings_of((), {}, {"whatever": 1}) == []


GET = Operation.READ
# raw path, operation, path; a status where it is refused
PATHS: list[tuple[str, Operation, str | int]] = [
    ("/v1/auth/ldap/config", GET, "auth/ldap/config"),
    ("/v1/auth/ldap/groups", Operation.LIST, "auth/ldap/groups/"),
    ("/v1/auth/ldap/groups/", Operation.LIST, "auth/ldap/groups/"),
    ("/v1/auth/ldap/groups/", GET, "auth/ldap/groups"),
    ("/v1/auth/ldap/users/x/", Operation.DELETE, "auth/ldap/users/x"),
    ("/v1/auth/ldap/users/x/", Operation.UPDATE, 400),
    ("/v1/auth/ldap/users/x/", Operation.PATCH, 400),
    ("/v1/auth/ldap/users/a%2Fb", GET, "auth/ldap/users/a/b"),
    ("/v1/auth/ldap/users/a+b", GET, "auth/ldap/users/a+b"),
    ("/v1/auth/ldap/users/a%2Bb", GET, "auth/ldap/users/a+b"),
    ("/v1/auth/ldap/users/a%20b", GET, "auth/ldap/users/a b"),
    ("/v1/auth/ldap/users/a%2520b", GET, "auth/ldap/users/a%20b"),  # once
    ("/v1/auth/ldap/users/a%40b", GET, "auth/ldap/users/a@b"),
    ("/v1/auth/ldap/users/a%5Cb", GET, "auth/ldap/users/a\\b"),
    ("/v1/auth/ldap/users/100%", GET, "auth/ldap/users/100%"),
    ("/v1/auth/ldap/users/%C5%BD", GET, "auth/ldap/users/Ž"),
    ("/v1/auth/ldap/users/..x", GET, "auth/ldap/users/..x"),
    ("/v1/auth/ldap/users/..", GET, 400),
    ("/v1/auth/ldap/users/%2E%2E", GET, 400),
    ("/v1/auth/ldap/users/.", GET, 400),
    ("/v1/auth/../sys/auth", GET, 400),
    ("/v1/auth/ldap%2F..%2Ftoken/x", GET, 400),
    ("/v1/auth//ldap/x", GET, 400),
    ("/v1/auth/ldap/users/%2Fx", GET, 400),
    ("/v1/auth/ldap/users/x//", GET, 400),
    ("/v1/auth/ldap/users/a%00", GET, 400),
    ("/v1/auth/ldap/users/a%09", GET, 400),
    ("/v1/auth/ldap/users/a%0Ab", GET, 400),
    ("/v1/auth/ldap/users/a%E2%80%A8b", GET, 400),  # U+2028
    ("/v1/auth/ldap/users/a%7F", GET, 400),
    ("/v1/auth/ldap/users/a%FFb", GET, 400),
    ("/v1/auth/ldap/users/%ED%A0%80", GET, 400),
    ("/v1/", GET, 404),
]


@pytest.mark.parametrize(("raw", "operation", "expected"), PATHS, ids=[f"{row[1]} {row[0]}" for row in PATHS])
def test_paths(raw: str, operation: Operation, expected: str | int) -> None:
    if isinstance(expected, str):
        assert decoded_path(raw, operation) == expected
        return
    with pytest.raises(VaultError) as refused:
        decoded_path(raw, operation)
    assert refused.value.status == expected


# method, query, operation or status, what is left of the query
ASKED: list[tuple[str, str, Operation | int, dict[str, Any]]] = [
    ("GET", "", GET, {}),
    ("HEAD", "", GET, {}),
    *(("GET", f"list={word}", Operation.LIST, {}) for word in ("1", "t", "T", "true", "TRUE", "True")),
    *(("GET", f"list={word}", GET, {}) for word in ("0", "f", "F", "false", "FALSE", "False", "")),
    *(("GET", f"list={word}", 400, {}) for word in ("yes", "2", "tRue", "true%20")),
    ("GET", "list=true&list=false", Operation.LIST, {}),
    ("GET", "list=false&list=true", GET, {}),
    ("GET", "help=1", Operation.HELP, {}),
    ("GET", "help=", GET, {}),
    ("GET", "scan=true", Operation.SCAN, {}),
    ("GET", "a=1&b=2&a=3", GET, {"a": ["1", "3"], "b": "2"}),
    ("GET", "a=x+y%20z", GET, {"a": "x y z"}),
    ("POST", "", Operation.UPDATE, {}),
    ("PUT", "list=true", Operation.UPDATE, {"list": "true"}),
    ("DELETE", "", Operation.DELETE, {}),
    ("PATCH", "", Operation.PATCH, {}),
    *((method, "", 405, {}) for method in ("OPTIONS", "TRACE", "PROPFIND", "LIST", "get")),
    ("GET", "a=%ff", 400, {}),
    ("GET", "&".join(f"a{n}=1" for n in range(300)), 400, {}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "query", "expected", "left"), ASKED, ids=[f"{n}-{row[0]}" for n, row in enumerate(ASKED)])
def test_what_is_asked(method: str, query: str, expected: Operation | int, left: dict[str, Any]) -> None:
    try:
        data = query_of(query)
        assert operation_of(method, data) is expected
        assert data == left
    except VaultError as refused:
        assert refused.status == expected
