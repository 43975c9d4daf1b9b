"""What variables become: clearml.md 1.1 and 1.2 as rows of values.toml, and as properties."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from config_lookup import SERVER, at
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import ConfigurationError, load

ROWS = tomllib.loads(Path(__file__).with_name("values.toml").read_text(encoding="utf-8"))["row"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def environment_of(row: dict[str, Any]) -> dict[str, str]:
    """The row's variable, and what its server needs besides."""
    name = f"CLEARML__{row['name']}"
    needed = dict(SERVER)
    if row["name"] == "servers__ldap__urls":
        del needed["CLEARML__servers__ldap__host"]
    if row["name"] == "servers__ldap__bind_password":
        needed["CLEARML__servers__ldap__bind_dn"] = "cn=svc"
    return needed | {name: row["value"]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}={row['value']!r}")
def test_value(row: dict[str, Any]) -> None:
    if "error" in row:
        with pytest.raises(ConfigurationError) as caught:
            load([], environment_of(row))
        assert [row["error"] in problem.message for problem in caught.value.problems] == [True]
        assert caught.value.problems[0].place == f"CLEARML__{row['name']}"
        assert caught.value.problems[0].path == row["key"]
    else:
        assert at(load([], environment_of(row)).configuration, row["key"]) == row["holds"]


def test_value_sets_only_its_key() -> None:
    """clearml.md 1.2: the injection rows of the real server set clearml.token_secret as well."""
    before = load([], SERVER).configuration
    for value in ("1\nsecure.auth.token_secret: z", "1, secure.auth.token_secret: z"):
        after = load([], SERVER | {"CLEARML__servers__ldap__bind_dn": value})
        assert after.configuration.clearml == before.clearml


@given(TEXTS.filter(lambda text: not (len(text) > 1 and text[0] == text[-1] == '"')))
def test_any_text_arrives(text: str) -> None:
    """DECISIONS 23: strings verbatim."""
    environment = SERVER | {"CLEARML__servers__ldap__bind_password": text, "CLEARML__servers__ldap__bind_dn": "cn=svc"}
    assert at(load([], environment).configuration, "servers.ldap.bind_password") == text


@given(TEXTS.filter(lambda text: not any(letter < " " or letter == "\x7f" for letter in text)), st.booleans())
def test_any_text_arrives_from_json_quotes(text: str, ascii_only: bool) -> None:
    """DECISIONS 23: minus one pair of quotes, whether escapes are written or not."""
    environment = {"CLEARML__clearml__company_name": json.dumps(text, ensure_ascii=ascii_only)}
    assert at(load([], environment).configuration, "clearml.company_name") == text


@given(st.lists(TEXTS))
def test_any_list_arrives_as_json(items: list[str]) -> None:
    """DECISIONS 23: lists are strict JSON."""
    environment = SERVER | {"CLEARML__servers__ldap__clearml__admin_users": json.dumps(items)}
    assert at(load([], environment).configuration, "servers.ldap.clearml.admin_users") == items


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_name_and_no_value_breaks_the_loader(name: str, value: str) -> None:
    """Whatever stands in the environment ends in a snapshot or in problems."""
    for known in ("", "servers__", "servers__ldap__", "admins__", "listen__", "users__0__", "clearml__credentials__"):
        try:
            load([], SERVER | {f"CLEARML__{known}{name}": value})
        except ConfigurationError as error:
            str(error).encode("utf-8")


NAMES = [
    ({"CLEARML__LOG__LEVEL": "debug"}, "log.level", "debug", "clearml.md 1.1.3: lower-cased"),
    ({"CLEARML__log.level": "debug"}, "log.level", "debug", "clearml.md 1.1.3: a dot separates"),
    ({"clearml__log__level": "debug"}, "log.level", "info", "clearml.md 1.1.1: the prefix is exact"),
    ({"TRAINS__log__level": "debug"}, "log.level", "debug", "clearml.md 1.1.1: the legacy prefix"),
    ({"TRAINS__log__level": "debug", "CLEARML__log__level": "error"}, "log.level", "error", "clearml.md 1.1.1: below"),
    ({"CLEARML__log__level": "debug", "CLEARML__LOG__level": "error"}, "log.level", "debug", "clearml.md 1.1.2: bytes"),
    ({"CLEARML__admins__0": "user:a", "CLEARML__admins__1": "user:b"}, "admins", ["user:a", "user:b"], "by index"),
    ({"CLEARML__listen__0": "[::1]:1"}, "listen", ["[::1]:1"], "by index"),
]


@pytest.mark.parametrize(("environment", "key", "holds", "proves"), NAMES)
def test_name(environment: dict[str, str], key: str, holds: object, proves: str) -> None:
    assert at(load([], environment).configuration, key) == holds, proves


UNKNOWN = [
    ("CLEARML__tokens__lifetme", 'tokens.lifetme: unknown key; did you mean "lifetime"?'),
    ("CLEARML__hosts__elastic__events__host", "hosts: unknown key"),
    ("CLEARML__log__level__x", "log.level.x: unknown key"),
    ("CLEARML__http__keepaliv", 'http.keepaliv: unknown key; did you mean "keepalive"?'),
    ("CLEARML__lockout__failure", 'lockout.failure: unknown key; did you mean "failures"?'),
    ("CLEARML__max_body_FILE", "max_body_file: unknown key"),
    ("CLEARML__http__max_body_FILE", 'http.max_body_file: unknown key; did you mean "max_body"?'),
    ("CLEARML__", ": unknown key"),
    ("CLEARML__workers", "workers: unknown key"),
    ("CLEARML__foo__bar", ": foo: unknown key"),
    ("CLEARML__metrics__listen", "metrics: unknown key"),
]


@pytest.mark.parametrize(("name", "message"), UNKNOWN)
def test_unknown_variable_is_a_warning(name: str, message: str) -> None:
    """configuration.md 1.1, DECISIONS 23: warned of with a suggestion, never refused."""
    warnings = load([], SERVER | {name: "x"}).warnings
    assert [str(warning).startswith(name) and str(warning).endswith(message) for warning in warnings] == [True], warnings


def test_error_names_the_variable_and_not_the_value() -> None:
    names = {"CLEARML__http__shutdown", "CLEARML__tokens__master_key", "CLEARML__http"}
    with pytest.raises(ConfigurationError) as caught:
        load([], SERVER | dict.fromkeys(names, "hunter2"))
    assert {problem.place for problem in caught.value.problems} == names
    assert "hunter" not in str(caught.value)


def test_item_and_whole_list_in_one_layer() -> None:
    """Which of both counts would depend on the order of names, so it is refused."""
    with pytest.raises(ConfigurationError, match="an item is given together with its whole list"):
        load([], {"CLEARML__admins": "user:a", "CLEARML__admins__0": "user:b"})


def test_index_beyond_the_end() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load([], {"CLEARML__admins__7": "user:b", "CLEARML__servers__3__host": "h"})
    assert sorted(problem.path for problem in caught.value.problems) == ["admins.7", "servers.3"]


def test_not_utf8() -> None:
    with pytest.raises(ConfigurationError, match=r"clearml\.company_name: not valid UTF-8"):
        load([], {"CLEARML__clearml__company_name": "\udcff"})
