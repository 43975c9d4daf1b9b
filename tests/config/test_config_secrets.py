"""Secrets: where they may come from, and that nothing ever prints one."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from config_lookup import SERVER, at, load_text, problems_of

from gateway.config.load import ConfigurationError, load
from gateway.config.schema import Configuration, Secret

PLANTED = 'Pl4nt"ed\\S3cret'
NAME = "CLEARML__servers__ldap__bind_password"
SERVICE = SERVER | {"CLEARML__servers__ldap__bind_dn": "cn=svc"}


def password(environment: dict[str, str]) -> str:
    return str(at(load([], environment).configuration, "servers.ldap.bind_password"))


@pytest.mark.parametrize("suffix", ["_FILE", "_file"])
@pytest.mark.parametrize(
    ("content", "holds"),
    [("x", "x"), ("x\n", "x"), ("x\n\n", "x\n"), ("x\r\n", "x"), (" x ", " x "), ("\ufeffx", "x"), ("", "")],
)
def test_secret_file_by_variable(tmp_path: Path, suffix: str, content: str, holds: str) -> None:
    """A newline at the end is stripped once."""
    (tmp_path / "secret").write_bytes(content.encode())
    environment = SERVER | {NAME + suffix: str(tmp_path / "secret")}
    if holds:
        environment["CLEARML__servers__ldap__bind_dn"] = "cn=svc"
    assert password(environment) == holds


def test_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "servers.ldap.bind_password").write_text("from systemd\n")
    (tmp_path / "other.program").write_text("not ours")
    (tmp_path / "http.max_body").write_text("5")
    snapshot = load([], SERVICE | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert at(snapshot.configuration, "servers.ldap.bind_password") == "from systemd"
    assert snapshot.configuration.http.max_body == 1024 * 1024
    assert snapshot.origin("servers.ldap.bind_password").kind == "credential"
    assert snapshot.warnings == ()


def test_given_twice_in_one_layer(tmp_path: Path) -> None:
    (tmp_path / "servers.ldap.bind_password").write_text("a")
    file = str(tmp_path / "servers.ldap.bind_password")
    for twice in (
        {NAME: "a", f"{NAME}_FILE": file},
        {NAME: "a", "CREDENTIALS_DIRECTORY": str(tmp_path)},
        {f"{NAME}_FILE": file, "CREDENTIALS_DIRECTORY": str(tmp_path)},
    ):
        with pytest.raises(ConfigurationError, match="given together with"):
            load([], SERVICE | twice)
    for text in ("token_secret = x, token_secret_file = y", "token_secret_file = y, token_secret = x"):
        (tmp_path / "y").write_text("0123456789abcdef")
        assert "given together with" in problems_of(tmp_path, f"clearml {{ {text} }}", "a.conf")[0]


def test_a_variable_wins_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "y").write_text("0123456789abcdef")
    snapshot = load_text(tmp_path, "clearml.token_secret_file = y", "a.conf", CLEARML__clearml__token_secret="f" * 16)
    assert at(snapshot.configuration, "clearml.token_secret") == "f" * 16


BAD_FILES = [
    ("missing", "No such file"),
    (".", "Is a directory"),
    ("large", "larger than"),
    ("binary", "not UTF-8"),
    ("", "expected"),
]


@pytest.mark.parametrize(("name", "message"), BAD_FILES)
def test_unreadable_secret_file(tmp_path: Path, name: str, message: str) -> None:
    """The error names the key and the path, and nothing of the content."""
    (tmp_path / "large").write_text("x" * 65537)
    (tmp_path / "binary").write_bytes(b"abc\xff")
    problems = problems_of(tmp_path, f'clearml {{ token_secret_file = "{name}" }}', "a.conf")
    assert problems[0].startswith("clearml.token_secret_file: " + (f"{tmp_path / name}: " if name else "expected"))
    assert message in problems[0]
    assert "xxx" not in problems[0]


def test_only_secrets_have_a_file_form(tmp_path: Path) -> None:
    assert "unknown key" in problems_of(tmp_path, 'clearml { company_name_file = "x" }', "a.conf")[0]
    assert "unknown key" in problems_of(tmp_path, 'servers.a.root_ca_cert_file = "x"', "a.conf")[0]
    assert "unknown key" in str(load([], {"CLEARML__state_dir_FILE": "x"}).warnings[0])


def test_secret_itself() -> None:
    secret = Secret(PLANTED)
    shown = (repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}", repr({"a": secret}))
    assert not any(PLANTED in text for text in shown)
    assert secret.reveal() == PLANTED
    assert secret == Secret(PLANTED)
    assert secret != Secret("x")
    assert secret != PLANTED
    assert not Secret()
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


HASH = "$2b$04$" + "P" * 53
FULL: dict[str, Any] = {
    "servers": [{"name": "a", "host": "h", "search_base_dns": ["dc=x"], "bind_dn": "cn=a", "bind_password": PLANTED}],
    "users": [{"username": "u", "password_hash": HASH}],
    "clearml": {
        "token_secret": PLANTED,
        "credentials": {"c": {"role": "user", "user_key": "k", "user_secret": PLANTED}},
    },
}


def forms(secret: str) -> set[str]:
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.encode().hex()}


def test_no_secret_in_any_rendering() -> None:
    configuration = Configuration.model_validate(FULL)
    dumped = configuration.model_dump()
    shown = repr(configuration) + str(configuration) + configuration.model_dump_json() + repr(dumped)
    assert not any(form in shown for secret in (PLANTED, HASH) for form in forms(secret))
    assert configuration.model_dump_json().count("******") >= 5


WRONG = [
    {"users": [{"username": "u", "password_hash": PLANTED}]},
    {"users": [{"username": "u", "password_hash": [PLANTED]}]},
    {"tokens": {"master_key": PLANTED}},
    {"servers": PLANTED},
    {"servers": [PLANTED]},
    {"servers": [{**FULL["servers"][0], "bind_password": {"x": PLANTED}}]},
    {"servers": [{**FULL["servers"][0], "bind_password": [PLANTED]}]},
    {"servers": [{**FULL["servers"][0], "port": PLANTED}]},
    {"servers": [{**FULL["servers"][0], "bind_mode": PLANTED}]},
    {"servers": [{**FULL["servers"][0], "root_ca_cert": 5}]},
    {"clearml": PLANTED},
    {"clearml": {"token_secret": [PLANTED]}},
    {"clearml": {"company": PLANTED, "api_version": PLANTED}},
    {"clearml": {"credentials": {"c": {"user_secret": PLANTED}}}},
    {"log": {"level": PLANTED}},
    {"listen": PLANTED},
    {"lockout": {"window": PLANTED}},
    {"http": {"max_body": PLANTED}},
    {"secure": {"credentials": PLANTED}},
    {"apiserver": {"auth": {"fixed_users": {"provider": PLANTED}}}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:60])
def test_no_secret_in_any_error(tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: dict[str, object]) -> None:
    """Every place of the tree refuses a planted text; no message, log line or traceback holds it."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, json.dumps({**FULL, **wrong}), "a.json")
    shown = "".join(map(repr, caught.value.problems)) + repr(caught.value) + caplog.text
    shown += "".join(traceback.format_exception(caught.value))
    assert not any(form in shown for form in forms(PLANTED))


@pytest.mark.parametrize("suffix", [".conf", ".toml", ".yaml", ".json"])
@pytest.mark.parametrize("quote", ['"', "'", "", '"""', "*", "&", "!", "{", "[", "@", "%", "`", "|", "${"])
def test_no_secret_in_a_syntax_error(tmp_path: Path, suffix: str, quote: str) -> None:
    """What stands next to a syntax error may be a password, so no message quotes the text."""
    for separator in (" = ", ": "):
        text = f"clearml{{\n  token_secret{separator}{quote}hunter2hunter2hunter2\n  : = ]"
        for problem in problems_of(tmp_path, text, f"a{suffix}"):
            assert "hunter2" not in problem or quote == "${"
