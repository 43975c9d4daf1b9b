"""Whose an API key or a token is, whatever else has the same name, and that no directory ever sees a key."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap3
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.conjur.conjur_room import (
    ACCOUNT,
    FAMILIES,
    OTHERS,
    PEOPLE,
    SECRET,
    ConjurRoom,
    basic,
    conjur_room,
    token_header,
)
from tests.tokens.conjur_by_hand import signed_v5

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = FAMILIES["service"]
NUMBER = "e-1912@example.com"
"""What nina may type in place of her name; otto, who writes his own address, has written it there."""
INVALID = (401, "Unauthorized: Invalid token")


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, PEOPLE, OTHERS, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        with started.administration() as connection:
            connection.modify(f"cn=nina,ou=people,{BASE_DN}", {"employeeNumber": [(ldap3.MODIFY_ADD, [NUMBER])]})
            connection.modify(f"cn=otto,ou=people,{BASE_DN}", {"mail": [(ldap3.MODIFY_ADD, [NUMBER])]})
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    environment = {"CLEARML__servers__corp__search_filter": "(|(uid=%s)(employeeNumber=%s))", "CLEARML__lockout__failures": "3"}
    services = {"corp": {"allow": "all"}}
    async with conjur_room(slapd, tmp_path_factory.mktemp("owners"), environment=environment, services=services) as opened:
        yield opened


async def test_whose_a_login_is_is_for_the_directory_to_say(site: ConjurRoom) -> None:
    """DECISIONS 1: not for the address that somebody has; and a name that the store does not know finds its key."""
    theirs, others = await site.key(NUMBER, SECRET), await site.key("otto", SECRET)
    for base in FAMILIES.values():
        for login, key, who in (
            (NUMBER, theirs, "nina"), ("nina", theirs, "nina"), ("NINA", theirs, "nina"), ("otto", others, "otto"),
            (NUMBER, others, ""), ("nina", others, ""), ("otto", theirs, ""), ("nina@example.com", theirs, ""),
        ):  # fmt: skip
            answer = await site.authenticate(login, key, base=base)
            assert answer.status == (200 if who else 401), (login, who)
            assert (await site.login(login, key, base=base)).status == answer.status
            if who and "payload" in answer.json:
                assert answer.claims["sub"] == who
    assert (await site.call("PUT", f"{SERVICE}/api_key", basic(NUMBER, others))).status == 401
    assert await site.key("nina", SECRET) == theirs


async def test_no_directory_sees_a_key(site: ConjurRoom) -> None:
    """DECISIONS 14: in no dialect, in no spelling; and it locks nobody, however often it is shown."""
    key = await site.key("nina", SECRET)
    before = len(site.relay.sent)
    for spelling in (key, key.upper(), f" {key}", f"{key}\n", f"\t{key.title()} ", f"\u3000{key}", "b" * 51 + "a"):
        header = "Authorization: Basic " + b64encode(f"nina:{spelling}".encode()).decode()
        body = json.dumps({"password": spelling}).encode()
        answers = [
            await site.call("GET", "/auth.login", header),
            await site.call("POST", "/v1/auth/corp/login/nina", "Content-Type: application/json", body=body),
            await site.call("GET", "/admin/status", header),
            await site.call("POST", "/api/login", "Content-Type: application/json",
                            body=json.dumps({"username": "nina", "password": spelling}).encode()),
        ]  # fmt: skip
        assert all(400 <= answer.status < 500 and answer.trips == () for answer in answers), spelling
        if spelling != key:
            assert (await site.authenticate("nina", spelling)).status == 401, spelling
    assert key.encode() not in bytes(site.relay.sent[before:]).lower()
    assert (await site.login("nina", SECRET)).status == 200
    assert (await site.call("GET", "/auth.login", basic("nina", SECRET))).status == 200


async def test_a_key_is_rotated_once(site: ConjurRoom) -> None:
    """9.14: of many who show one key at once a single one gets another; by password everybody does."""
    target, key = f"{SERVICE}/api_key", await site.key("nina", SECRET)
    answers = await asyncio.gather(*(site.call("PUT", target, basic("nina", key)) for _ in range(16)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 15
    assert {answer.body for answer in answers if answer.status == 401} == {b""}
    [given] = [answer.text for answer in answers if answer.status == 200]
    assert await site.key("nina", SECRET) == given
    answers = await asyncio.gather(*(site.call("PUT", target, basic("nina", SECRET)) for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert await site.key("nina", SECRET) in {answer.text for answer in answers}


# whose key is asked for, of nina and of host/apps/backup; whether they are answered
ROLES = [
    ("role=user:nina", "nina", True),
    ("role=user%3ANINA", "nina", True),
    (f"role={ACCOUNT}:user:nina", "nina", True),
    ("", "nina", True),
    ("other=1", "nina", True),
    ("role=user:otto", "nina", False),
    (f"role={ACCOUNT}%3auser%3aotto", "nina", False),
    ("role=other:user:nina", "nina", False),
    ("role=host:nina", "nina", False),
    ("role=nina", "nina", False),
    ("role=", "nina", False),
    ("role=user:nina&role=user:otto", "nina", False),
    ("role=%ff", "nina", False),
    ("role=host:apps/backup", "host/apps/backup", True),
    ("role=host:apps%2Fbackup", "host/apps/backup", True),
    ("role=user:host/apps/backup", "host/apps/backup", False),
]


@pytest.mark.parametrize(("query", "login", "own"), ROLES)
async def test_the_key_of_somebody_else(site: ConjurRoom, query: str, login: str, own: bool) -> None:
    """2: nobody rotates another's, nor by mistake their own."""
    key = await site.key(login, SECRET)
    for secret in (key, SECRET):
        answer = await site.call("PUT", f"{SERVICE}/api_key?{query}", basic(login, secret))
        assert (answer.status, bool(answer.body)) == ((200, True) if own else (403, False))
    assert (await site.key(login, SECRET) == key) is not own
    assert (await site.call("PUT", f"{SERVICE}/api_key?{query}", basic(login, "wrong" * 11))).status == 401
    assert (await site.login(login, SECRET)).status == 200


async def test_a_key_between_two_revocations(site: ConjurRoom) -> None:
    """5: whatever the second it was given in, the next one ends it."""
    keys, now = [], 0
    otto = await site.room.login("otto", SECRET)
    for _ in range(3):
        await site.room.live.store.identity_invalidate(otto.id, now + 1)
        keys.append(await site.key("otto", SECRET))
    assert len(set(keys)) == 3
    assert [(await site.authenticate("otto", key)).status for key in keys] == [401, 401, 200]


@pytest.mark.parametrize("family", ["v4", "service"])
async def test_9_a_signing_key_that_several_have(slapd: Slapd, tmp_path: Path, family: str) -> None:
    """Another account, and another gateway, that sign with it: their tokens are nobody's here."""
    pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    async with conjur_room(slapd, here, signing_key=pem) as site:
        token = await site.token("nina", SECRET, base=FAMILIES[family])
        assert (await site.whoami(token)).status == 200
    for directory, account, status in ((here, "prod", 401), (elsewhere, ACCOUNT, 401), (here, ACCOUNT, 200)):
        async with conjur_room(slapd, directory, signing_key=pem, account=account) as site:
            assert (await site.login("nina", SECRET, base=f"/authn-ldap/corp/{account}")).status == 200
            answer = await site.whoami(token)
            assert answer.status == status, (directory.name, account)
            assert status == 200 or (answer.status, answer.text) == INVALID
            state = await site.call("GET", f"/authn-ldap/corp/{account}/status", token_header(token.body))
            assert state.status == status


def claims_of_a_conjur(iat: int) -> list[tuple[dict[str, object], int, str]]:
    """Claims as a Conjur server writes them, and what ``/whoami`` says to them from 127.0.0.1 (conjur.md 3, 6.1)."""
    end, refused = {"exp": iat + 480}, INVALID[1]
    return [
        ({"iat": iat, "sub": "nina", **end}, 200, ""),
        ({"iat": iat, "sub": "nina"}, 200, ""),
        ({"iat": iat - 481, "sub": "nina"}, 401, refused),
        ({"iat": iat - 10, "sub": "nina", "exp": iat - 1}, 401, refused),
        ({"iat": iat, "sub": "nina", **end, "cidr": ["127.0.0.0/8"]}, 200, ""),
        ({"iat": iat, "sub": "nina", **end, "cidr": ["192.0.2.0/24"]}, 403, "IP address rejected"),
        ({"iat": iat, "sub": "nobody", **end}, 401, refused),
        ({"iat": iat, "sub": "nina", **end, "jti": "0" * 32}, 401, refused),
    ]


@pytest.mark.parametrize("configured", [True, False], ids=["shared", "ring"])
async def test_tokens_of_a_conjur_that_shares_the_key(slapd: Slapd, tmp_path: Path, configured: bool) -> None:
    """6.4: they hold a name alone, which tells whose they are and lets nobody in; with the ring's own key there are none
    such."""
    shared = rsa.generate_private_key(65537, 2048)
    pem = shared.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    async with conjur_room(slapd, tmp_path, signing_key=pem if configured else "") as site:
        nina, iat = await site.room.login("nina", SECRET), int(time.time())
        key = shared if configured else site.room.live.conjur._signer(iat).key
        for claims, status, text in claims_of_a_conjur(iat):
            token = json.dumps(signed_v5(key, json.dumps(claims))).encode()
            answer = await site.call("GET", "/whoami", token_header(token))
            expected = (status, text) if configured else (401, INVALID[1])
            assert (answer.status, "" if answer.status == 200 else answer.text) == expected, claims
            if status == 200:
                read = site.room.live.conjur.verify(b64encode(token).decode(), iat)
                assert await site.room.live.conjur.identity_of(read) is None, "forward auth takes none"
        token = json.dumps(signed_v5(key, json.dumps({"iat": iat, "sub": "nina"}))).encode()
        await site.room.live.store.identity_gone(nina.id, iat)
        assert (await site.call("GET", "/whoami", token_header(token))).status == 401


async def test_what_the_command_line_asks_first(site: ConjurRoom) -> None:
    """8: ``conjur init`` without an account asks for it after a 401, and ends after a 404."""
    answer = await site.call("GET", "/info")
    assert (answer.status, answer.body) == (401, b"")
