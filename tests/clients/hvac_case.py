"""What a row of the hvac tables is, what it finds, and how an answer is compared with what it expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import hvac
import requests

ROOT: Final = "root-token-of-the-hvac-tests"
CORP: Final = "corp"
"""A mount that the file declares, on a real slapd; ``ldap`` is each row's own."""
PASSWORD: Final = "radium & polonium"
"""Of everybody there."""


class Refused(NamedTuple):
    """hvac raises exactly this class, and one of its errors contains ``text``; there is none where that is empty."""

    error: type[Exception]
    text: str = ""


class Case(NamedTuple):
    section: str
    """Of vault.md."""
    name: str
    call: Callable[[Site], Any]
    expected: Any
    """An ``int``: status of an answer without body; a ``Refused``; else see ``differences``."""


class Absent:
    """Expected of a key that must not be there."""


ABSENT: Final = Absent()


class Site:
    """What one row finds: clients of its own, and a mount ``ldap`` of its own as soon as it asks for one."""

    def __init__(self, url: str, session: requests.Session, directory: Mapping[str, str], certificates: Path) -> None:
        self._url, self._session = url, session
        self._directory, self._certificates = directory, certificates

    def client(self, token: str | None = None, **options: Any) -> hvac.Client:
        made = hvac.Client(url=self._url, session=self._session, **options)
        made.token = token  # never what VAULT_TOKEN or ~/.vault-token says
        return made

    @cached_property
    def root(self) -> hvac.Client:
        return self.client(ROOT)

    def person(self, name: str = "einstein", mount: str = CORP) -> hvac.Client:
        """A client that has logged in."""
        made = self.client()
        made.auth.ldap.login(name, PASSWORD, mount_point=mount)
        return made

    @cached_property
    def ldap(self) -> Any:
        """``root.auth.ldap``, the mount ``ldap`` just enabled."""
        self.root.sys.enable_auth_method("ldap", description="people")
        return self.root.auth.ldap

    @cached_property
    def people(self) -> Any:
        """The same, configured for the directory; ``engineers`` and ``scientists`` are mapped."""
        self.ldap.configure(**self._directory)
        self.ldap.create_or_update_group("Scientists", policies=["foo", "bar"])
        self.ldap.create_or_update_group("engineers", policies=["foobar"])
        return self.ldap

    def token(self, **asked: Any) -> str:
        """A new token."""
        text: str = self.root.auth.token.create(**asked)["auth"]["client_token"]
        return text

    def pem(self, name: str) -> str:
        return (self._certificates / name).read_text()

    def close(self) -> None:
        if "ldap" in vars(self):
            self.root.sys.disable_auth_method("ldap")


def differences(answer: Any, expected: Any, at: str = "answer") -> list[str]:
    """Where they differ. Of dictionaries the keys that are expected count; functions decide for themselves."""
    if isinstance(expected, Absent):
        return [f"{at} is there"]
    if isinstance(answer, requests.Response):
        return [] if answer.status_code == expected and not answer.content else [f"{at} is {answer.status_code}"]
    if isinstance(expected, dict) and isinstance(answer, dict):
        found: list[str] = []
        for key, value in expected.items():
            if key in answer:
                found += differences(answer[key], value, f"{at}[{key!r}]")
            elif not isinstance(value, Absent):
                found.append(f"{at}[{key!r}] is missing")
        return found
    if callable(expected):
        return [] if expected(answer) else [f"{at} is {answer!r}"]
    same = type(answer) is type(expected) and answer == expected
    return [] if same else [f"{at} is {answer!r}, not {expected!r}"]


def between(least: float, most: float) -> Callable[[Any], bool]:
    return lambda number: type(number) is int and least <= number <= most


def service_token(text: Any) -> bool:
    """configuration.md 3."""
    return isinstance(text, str) and len(text) == len("hvs.") + 43 and text.startswith("hvs.")


def accessor(text: Any) -> bool:
    """configuration.md 3."""
    return isinstance(text, str) and len(text) == 24 and text.isascii() and text.isalnum()
