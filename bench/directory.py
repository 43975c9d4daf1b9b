"""A slapd with 10,000 users, each in a few of 200 groups: the directory of the login benchmarks."""

from __future__ import annotations

import base64
import hashlib
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.directories.slapd import BASE_DN, Slapd

USERS = 10_000
GROUPS = 200
PEOPLE = f"ou=people,{BASE_DN}"
GROUP_BASE = f"ou=groups,{BASE_DN}"
SERVICE = f"cn=svc,{BASE_DN}"
SERVICE_PASSWORD = "svc-secret"
GROUP_FILTER = "(member=%s)"
GROUPS_EACH = 4


def name(number: int) -> str:
    return f"user{number:05d}"


def password(number: int) -> str:
    return f"password-of-{number}"


def dn(number: int) -> str:
    return f"uid={name(number)},{PEOPLE}"


def ssha(text: str, salt: bytes) -> str:
    digest = hashlib.sha1(text.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def ldif() -> str:
    shuffle = random.Random(7)
    account = f"dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: svc"
    records = [
        f"dn: {BASE_DN}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people",
        f"dn: {GROUP_BASE}\nobjectClass: organizationalUnit\nou: groups",
        f"{account}\nuserPassword: {SERVICE_PASSWORD}",
    ]
    members: list[list[str]] = [[] for _ in range(GROUPS)]
    for number in range(USERS):
        records.append(
            f"dn: {dn(number)}\nobjectClass: inetOrgPerson\nuid: {name(number)}\ncn: User {number}\nsn: {number}\n"
            f"displayName: User Number {number}\nmail: {name(number)}@example.com\n"
            f"userPassword: {ssha(password(number), number.to_bytes(8, 'big'))}"
        )
        for group in shuffle.sample(range(GROUPS), GROUPS_EACH):
            members[group].append(dn(number))
    for number, names in enumerate(members):
        cn = f"group{number:03d}"
        lines = "\n".join(f"member: {member}" for member in names)
        records.append(f"dn: cn={cn},{GROUP_BASE}\nobjectClass: groupOfNames\ncn: {cn}\n{lines}")
    return "\n\n".join(records) + "\n"


@contextmanager
def large_directory() -> Iterator[Slapd]:
    with tempfile.TemporaryDirectory() as folder, Slapd.start(ldif(), directory=Path(folder), tls=True) as slapd:
        yield slapd
