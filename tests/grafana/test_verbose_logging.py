"""``verbose_logging``: attributes and groups of each login, never a secret, always one bounded line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.messages import Entry
from gateway.directory.verbose import LONGEST_LINE, described
from gateway.identity import Account, Group

DN = "uid=nina,ou=people"


def line(attributes: dict[str, list[bytes]], *groups: str) -> str:
    return described(Entry(DN, attributes), Account("ldap", "1", "nina", groups=tuple(Group(g, value=g) for g in groups)))


LINES = [
    ({"uid": [b"nina"], "mail": [b"a@x", b"b@x"]}, ("cn=a", "cn=b"), "uid=nina; mail=a@x | b@x; groups: cn=a | cn=b"),
    ({}, (), "groups: none"),
    ({"uid": []}, (), "groups: none"),
    ({"memberof": [b"cn=a"]}, ("cn=a",), "groups: cn=a"),
    ({"objectguid": [b"\xff\x00"]}, (), "objectguid=(2 octets); groups: none"),
    ({"blob": [b"\x01hunter2", b"abc"]}, (), "blob=(8 octets) | abc; groups: none"),
    ({"sn": ["Björk\r\n\u202elevel=error".encode()]}, (), "sn=Björk\\r\\n\\u202elevel=error; groups: none"),
    ({"memberof": [b"{SSHA}hunter2"]}, ("{SSHA}hunter2", "cn=a"), "groups: (hidden) | cn=a"),
    ({"gidnumber": [b"$5"], "sn": [b"{x} {}"]}, (), "gidnumber=$5; sn=(hidden); groups: none"),
    ({"userpassword": [b"hunter2"]}, (), "userpassword=(hidden); groups: none"),
    ({"description": [b"{SSHA}hunter2"]}, (), "description=(hidden); groups: none"),
]


@pytest.mark.parametrize(("attributes", "groups", "expected"), LINES, ids=[str(i) for i in range(len(LINES))])
def test_line(attributes: dict[str, list[bytes]], groups: tuple[str, ...], expected: str) -> None:
    assert line(attributes, *groups) == f"nina logged in: dn={DN}; {expected}"


SECRETS = [
    "userPassword", "unicodePwd", "sambaNTPassword", "sambaLMPassword", "ipaNTHash", "krbPrincipalKey", "ntPwdHistory",
    "supplementalCredentials", "userPKCS12", "ms-Mcs-AdmPwd", "msDS-ManagedPassword", "authPassword", "apiToken", "oathSecret",
    "passphrase", "wifiPassphrase", "passcode", "userPin", "pin", "otpSeed", "totpSeed", "recoveryCodes", "userpass",
    "cleartextPW", "radiusUserPW", "passwordSalt", "srpVerifier", "userPassword;x-old",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret(name: str) -> None:
    assert "hunter2" not in line({name: [b"hunter2"], name.lower(): [b"hunter2"]})


SECRET_VALUES = [
    "{SSHA}hunter2", "{PBKDF2-SHA512}10000$hunter2", " {CRYPT}$6$hunter2", "$6$salt$hunter2", "$2y$10$hunter2", "$argon2id$v=19$hunter2",
    "$y$j9T$hunter2", "$apr1$hunter2", "pbkdf2_sha256$1000$hunter2", "otpauth://totp/x?secret=hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2",
    "{cleartext}hunter2", "{ARGON2}$argon2i$hunter2", "$pbkdf2-sha512$hunter2",
]  # fmt: skip


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_no_secret_in_a_harmless_place(value: str) -> None:
    told = line({"description": [b"x", value.encode()]}, "cn=a", value)
    assert ("hunter2" in told, told.count("(hidden)")) == (False, 2)


@given(
    st.dictionaries(st.text(max_size=30), st.lists(st.binary(max_size=400), max_size=80), max_size=20),
    st.lists(st.text(max_size=400), max_size=80),
)
def test_one_bounded_printable_line(attributes: dict[str, list[bytes]], groups: list[str]) -> None:
    told = line(attributes, *groups)
    assert told.isprintable()
    assert len(told) <= LONGEST_LINE


def test_it_says_that_it_was_cut() -> None:
    told = line({"uid": [b"n" * 300]}, *(f"cn={number}" for number in range(60)))
    assert "..." in told
    assert told.endswith("cn=49 and 10 more")


@pytest.mark.parametrize("letter", ["n", "\U000e0001", "\x85"])
def test_an_escape_counts_as_it_is_written(letter: str) -> None:
    """docs/grafana.md: a line has 4000 characters at most."""
    told = line({"uid": [b"nina"]}, *(letter * 256 for _ in range(50)))
    assert (len(told), told[-3:]) == (LONGEST_LINE, "...")
