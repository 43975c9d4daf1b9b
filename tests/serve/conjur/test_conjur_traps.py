"""conjur.md 9: each trap a test, in the order of the list; 13 goes on in ``test_conjur_locked.py``."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import ldap3
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.directories.alan import ALAN, alan_restored
from tests.directories.directory_logins import BIND, SEARCH, filters
from tests.directories.slapd import Slapd
from tests.proxies.servers import free_port, proxy
from tests.serve.conjur.conjur_room import (
    ACCOUNT,
    FAMILIES,
    GRANTED,
    INSIDE,
    SECRET,
    Answer,
    ConjurRoom,
    conjur_room,
    header_of,
    token_header,
)
from tests.serve.gateway_room import one_answer, parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")

_EQUALITY = 0xA3
INVALID = (401, "Unauthorized: Invalid token")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    environment = {"CLEARML__session__refresh_interval": "0"}
    async with conjur_room(slapd, tmp_path_factory.mktemp("conjur"), environment=environment) as opened:
        yield opened


async def test_1_an_empty_password_never_binds(site: ConjurRoom) -> None:
    for family in FAMILIES.values():
        for answer in (await site.login("nina", "", base=family), await site.authenticate("nina", "", base=family)):
            assert (answer.status, answer.trips) == (401, ())


@pytest.mark.parametrize("login", ["*", "nina)(uid=*", "*)(|(uid=nina", "ni\0na", "nina\0", "nina)(userPassword=*"])
async def test_2_no_login_is_a_filter(site: ConjurRoom, login: str) -> None:
    before = len(site.relay.sent)
    assert (await site.login(login, SECRET)).status == 401
    assert (await site.authenticate(login, SECRET)).status == 401
    asked = filters(site.relay.sent[before:])
    assert asked == ([] if "\0" in login else [[_EQUALITY, b"uid", login.encode()]] * 2)


async def test_3_spellings_of_one_login(site: ConjurRoom) -> None:
    base = FAMILIES["service"]
    spellings = ("nina%40example.com", "nina@example.com", "%6E%69%6e%61@example%2ecom", "NINA%40EXAMPLE.COM")
    for spelling in spellings:
        answer = await site.call("POST", f"{base}/{spelling}/authenticate", body=SECRET.encode())
        assert answer.claims["sub"] == "nina@example.com"
    for spelling, status in (("host%2Fapps%2Fbackup", 200), ("host%2fapps%2fbackup", 200), ("host/apps/backup", 404),
                             ("host%252Fapps%252Fbackup", 401), ("n%20i%20n%20a", 200), ("n+i+n+a", 401)):  # fmt: skip
        answer = await site.call("POST", f"{base}/{spelling}/authenticate", body=SECRET.encode())
        assert answer.status == status, spelling
    first, other = await site.key("host/apps/backup", SECRET), await site.key("HOST/apps/backup", SECRET)
    assert first == other


@pytest.mark.parametrize("sent", ["gzip, base64", "base64", "gzip;q=1, BASE64", "deflate,base64;q=0.1"])
async def test_4_base64_among_encodings(site: ConjurRoom, sent: str) -> None:
    answer = await site.authenticate("nina", SECRET, f"Accept-Encoding: {sent}")
    assert (answer.headers["content-type"], answer.headers["content-encoding"]) == ("text/plain", "base64")
    text = b64decode(answer.body, validate=True)
    assert json.loads(text).keys() == {"protected", "payload", "signature"}
    assert (await site.call("GET", "/whoami", token_header(answer.text))).json["username"] == "nina"
    plain = await site.authenticate("nina", SECRET, "Accept-Encoding: gzip, base64;q=0")
    assert (plain.headers["content-type"], plain.headers.get("content-encoding")) == ("application/json", None)


async def test_5_the_body_is_the_secret_byte_for_byte(site: ConjurRoom) -> None:
    key = await site.key("nina", SECRET)
    for secret in (f"{key}\n", f" {key}", f"{key}\r\n"):
        answer = await site.authenticate("nina", secret)
        assert (answer.status, BIND in answer.trips) == (401, False), "a key never reaches a directory"
    assert key.encode() not in site.relay.sent
    for secret in (f"{SECRET}\n", f" {SECRET}", SECRET.encode("utf-16"), b"\xff\xfe", f"password={SECRET}"):
        assert (await site.authenticate("nina", secret)).status == 401
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data", "!"):
        assert (await site.authenticate("nina", key, f"Content-Type: {kind}")).status == 200
    chunks = f"{len(key):x}\r\n{key}\r\n0\r\n\r\n".encode()
    target = f"{FAMILIES['service']}/nina/authenticate"
    assert (await site.call("POST", target, "Transfer-Encoding: chunked", body=chunks)).status == 200


async def test_6_colons_and_umlauts_in_basic(site: ConjurRoom) -> None:
    assert (await site.login("jürgen", "pä:ss")).status == 200
    assert (await site.login("nina", SECRET)).status == 200
    assert (await site.login("jürgen", "pä")).status == 401


async def test_7_privilege_before_password(site: ConjurRoom) -> None:
    for secret in ("cobol-1959", "wrong", "a" * 52):
        for answer in (await site.login("grace", secret), await site.authenticate("grace", secret)):
            assert (answer.status, answer.body) == (403, b"")


def rebuilt(
    key: rsa.RSAPrivateKey, header: dict[str, object], claims: dict[str, object], secret: bytes = b""
) -> Answer:
    """conjur.md 6.1, written out again; with the ``secret`` of a gateway as that salts it."""
    protected, payload = (urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (header, claims))
    text = f"{protected}.{payload}".encode()
    salt = hmac.digest(secret, f"{ACCOUNT}\0{claims.get('jti', '')}\0".encode() + text, "sha256")
    digest = hashlib.sha256(salt + text).digest()
    signature = urlsafe_b64encode(key.sign(digest, padding.PKCS1v15(), utils.NoDigestInfo()) + salt).decode()
    token = {"protected": protected, "payload": payload, "signature": signature}
    return Answer(200, {}, json.dumps(token, indent=1).encode())


@pytest.mark.parametrize("version", ["v4", "v5"])
async def test_8_a_second_after_its_end(site: ConjurRoom, version: str) -> None:
    nina, now = await site.room.login("nina", SECRET), int(time.time())
    for age, status in ((450, 200), (480, 401), (481, 401), (2000, 401)):
        text = await site.room.live.conjur.issue(nina, "nina", now - age, version)
        answer = await site.whoami(Answer(200, {}, text.encode()))
        assert answer.status == status, age
        assert status == 200 or (answer.status, answer.text) == INVALID
    token = await site.token("nina", SECRET)
    assert token.claims["exp"] - token.claims["iat"] == 480


async def test_9_tokens_of_another_account_or_gateway(
    site: ConjurRoom, slapd: Slapd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with conjur_room(slapd, tmp_path_factory.mktemp("other"), account="other") as other:
        theirs = await other.token("nina", SECRET, base="/authn/other")
        assert (await other.whoami(theirs)).json["account"] == "other"
        answer = await site.whoami(theirs)
        assert (answer.status, answer.text) == INVALID


async def test_10_other_algorithms(site: ConjurRoom) -> None:
    token = await site.token("nina", SECRET)
    header, key = header_of(token), site.room.live.conjur._signer(int(time.time())).key
    secret = site.room.live.store.derived_key("conjur token salts 1")
    for algorithm in ("none", "HS256", "RS256", "conjur.org/slosilo/v1", ""):
        answer = await site.whoami(rebuilt(key, {**header, "alg": algorithm}, token.claims, secret))
        assert (answer.status, answer.text) == INVALID
    stranger = rsa.generate_private_key(65537, 2048)
    assert (await site.whoami(rebuilt(stranger, header, token.claims, secret))).text == INVALID[1]
    assert (await site.whoami(rebuilt(key, header, token.claims, secret))).status == 200


async def test_11_payloads_are_standard_base64(site: ConjurRoom) -> None:
    for name in GRANTED:
        token = await site.token(name, SECRET)
        assert not set("-_") & set(token.json["payload"])
        assert token.claims["sub"] == name
    token = await site.token("jürgen", "pä:ss")
    assert token.claims["sub"] == "jürgen"


async def test_12_an_outage_is_no_wrong_password(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with conjur_room(slapd, tmp_path_factory.mktemp("down")) as site:
        key = await site.key("nina", SECRET)
        await site.relay.refuse()
        for answer in (await site.login("nina", SECRET), await site.authenticate("nina", SECRET)):
            assert (answer.status, answer.body) == (503, b"")
            assert int(answer.headers["retry-after"]) > 0
        assert (await site.authenticate("nina", key)).status == 200  # within session.max_stale
        await site.relay.listen()
        async with asyncio.timeout(20):
            while (await site.login("nina", SECRET)).status != 200:
                await asyncio.sleep(0.05)


async def test_13_the_key_of_somebody_who_left(site: ConjurRoom, slapd: Slapd) -> None:
    key = await site.key("alan", "enigma")
    token = await site.token("alan", key)
    assert (await site.whoami(token)).status == 200
    with alan_restored(slapd) as connection:
        connection.modify(ALAN, {"userPassword": [(ldap3.MODIFY_DELETE, [])]})
        assert (await site.authenticate("alan", "enigma")).status == 401
        connection.delete(ALAN)
        for answer in (await site.authenticate("alan", key), await site.login("alan", key)):
            assert (answer.status, answer.body) == (401, b"")
        answer = await site.whoami(token)
        assert (answer.status, answer.text) == INVALID


async def test_14_a_rotated_key_is_dead_at_once(site: ConjurRoom) -> None:
    for base in (FAMILIES["authn"], FAMILIES["no service"], FAMILIES["service"]):
        old = await site.key("nina", SECRET)
        rotation = await site.call("PUT", f"{base}/api_key", basic_of("nina", SECRET))
        assert (rotation.status, rotation.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert rotation.text not in ("", old)
        assert (await site.authenticate("nina", old)).status == 401
        assert await site.key("nina", SECRET) == rotation.text
        by_key = await site.call("PUT", f"{base}/api_key", basic_of("nina", rotation.text))  # the command line's way
        assert by_key.status == 200
        assert (await site.authenticate("nina", by_key.text)).status == 200
        assert (await site.call("PUT", f"{base}/api_key", basic_of("nina", old))).status == 401


def basic_of(login: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{login}:{password}".encode()).decode()


NGINX = """
{user}daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{gateway}; }}
  }}
}}
"""


async def test_15_a_proxy_that_compresses(site: ConjurRoom, tmp_path: Path) -> None:
    """nginx compresses whatever it may, but not this. In its ``proxy_pass`` without a path, ``%2F`` stays what it is."""
    port, user = free_port(), "user root; " if os.geteuid() == 0 else ""
    values = {"directory": tmp_path, "port": port, "gateway": site.room.port, "user": user}
    (tmp_path / "nginx.conf").write_text(NGINX.format(**values))
    command = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", f"{tmp_path}/error.log"]
    body = SECRET.encode()
    head = (
        f"POST {FAMILIES['service']}/host%2Fapps%2Fbackup/authenticate HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\nAccept-Encoding: "
    )
    with proxy(command, tmp_path, port):
        answers = []
        for encoding in ("gzip, base64", "gzip"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}{encoding}\r\n\r\n".encode() + body)
            answers.append(parsed(await reader.read()))
            writer.close()
            await writer.wait_closed()
    (status, headers, text), (_, compressed, _) = answers
    assert (status, headers["content-encoding"]) == (200, "base64")
    assert headers["cache-control"] == "no-store, no-transform"  # for proxies that would compress even so
    assert b64encode(b64decode(text, validate=True)) == text
    assert compressed["content-encoding"] == "gzip", "nginx must be one that compresses"


async def test_16_unknown_and_wrong_take_as_long(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As many round trips, and both at least ``login.floor``."""
    floor = {"CLEARML__login__floor": "0.1"}
    async with conjur_room(slapd, tmp_path_factory.mktemp("equal"), environment=floor, hide_ungranted=True) as site:
        for login in ("nobody", "nina", "grace"):
            started = time.monotonic()
            answer = await site.login(login, "wrong")
            assert time.monotonic() - started >= 0.1
            assert (answer.status, answer.trips) == (401, (SEARCH, BIND))


async def test_whoami_and_the_address(site: ConjurRoom) -> None:
    """2, 6.1: the claim ``cidr`` of a service with networks; ``client_ip`` by trusted proxies."""
    base = f"/authn-ldap/inside/{ACCOUNT}"
    inside = f"X-Forwarded-For: {INSIDE}"
    token = await site.authenticate("nina", SECRET, inside, base=base)
    assert token.claims["cidr"] == ["192.0.2.0/24"]
    answer = await site.whoami(token, inside, "User-Agent: demo/1.0")
    issued = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime(token.claims["iat"]))
    assert answer.json == {
        "client_ip": INSIDE, "user_agent": "demo/1.0", "account": ACCOUNT, "username": "nina", "token_issued_at": issued,
    }  # fmt: skip
    elsewhere = await site.whoami(token, "X-Forwarded-For: 198.51.100.1")
    assert (elsewhere.status, elsewhere.text) == (403, "IP address rejected")
    assert elsewhere.headers["content-type"].startswith("text/plain")


async def test_texts_of_refused_tokens(site: ConjurRoom) -> None:
    """3: the last paragraph."""
    token = await site.token("nina", SECRET)
    changed = bytearray(token.body)
    changed[token.body.index(b'"payload":"') + 15] ^= 1
    rows = [
        ((), "Authorization missing"), ((basic_of("nina", SECRET),), "Authorization missing"),
        (("Authorization: Token token=\"!!\"",), "Malformed authorization token"),
        (("Authorization: Token tok",), "Malformed authorization token"),
        ((token_header(b"[]"),), "Malformed authorization token"),
        ((token_header(b"[" * 9000),), "Malformed authorization token"),
        ((token_header(bytes(changed)),), INVALID[1]),
    ]  # fmt: skip
    for headers, text in rows:
        for path in ("/whoami", f"/authn-ldap/corp/{ACCOUNT}/status"):
            answer = await site.call("GET", path, *headers)
            assert (answer.status, answer.text) == (401, text)
            assert answer.headers["content-type"].startswith("text/plain")
            assert "www-authenticate" not in answer.headers
    for spelling in (b64encode(token.body), urlsafe_b64encode(token.body), b64encode(b" \n" + token.body + b" ")):
        assert (await site.call("GET", "/whoami", f"authorization: token  token = \"{spelling.decode()}\"")).status == 200


async def test_tokens_of_version_4(site: ConjurRoom) -> None:
    """6.2."""
    token = await site.token("nina", SECRET, base=FAMILIES["v4"])
    assert list(token.json) == ["data", "timestamp", "signature", "key"]
    assert token.headers["content-type"] == "application/json"
    assert (await site.whoami(token)).json["username"] == "nina"


async def test_others_can_verify(site: ConjurRoom) -> None:
    """6.4: with the published key alone."""
    answer = await site.call("GET", f"/authn-ldap/{ACCOUNT}/public_key")
    key = load_pem_public_key(answer.body)
    assert isinstance(key, rsa.RSAPublicKey)
    token = (await site.token("nina", SECRET)).json
    content = urlsafe_b64decode(token["signature"])
    digest = hashlib.sha256(content[-32:] + f"{token['protected']}.{token['payload']}".encode()).digest()
    key.verify(content[:-32], digest, padding.PKCS1v15(), utils.NoDigestInfo())
    assert (await site.call("GET", "/authn-ldap/other/public_key")).status == 404


async def test_authenticators_and_version(site: ConjurRoom) -> None:
    """2: public; the command line reads the version at ``/``."""
    names = ["authn", *(f"authn-ldap/{name}" for name in ("apps/open", "blind", "corp", "gone", "inside", "wide"))]
    answer = await site.call("GET", "/authenticators")
    assert answer.json == {"installed": ["authn", "authn-ldap"], "configured": names, "enabled": names}
    assert (await site.call("GET", "/")).json["version"] == "Version 1.21.3"
    assert "Version 1.21.3" in (await site.call("GET", "/", "Accept: text/html")).text


# 2: a real check; service, status
STATUSES = [("corp", 200), ("CORP", 200), ("apps%2Fopen", 403), ("gone", 403), ("staff", 404), ("nowhere", 404)]


async def test_status(site: ConjurRoom) -> None:
    token = await site.token("nina", SECRET)
    for service, status in STATUSES:
        answer = await site.call("GET", f"/authn-ldap/{service}/{ACCOUNT}/status", token_header(token.body))
        assert (answer.status, answer.json["status"]) == (status, "ok" if status == 200 else "error")
    assert (await site.call("GET", "/authn-ldap/corp/other/status", token_header(token.body))).status == 404


async def test_status_of_a_directory_that_is_down(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with conjur_room(slapd, tmp_path_factory.mktemp("status")) as site:
        token = await site.token("nina", SECRET)
        await site.relay.refuse()
        answer = await site.call("GET", f"/authn-ldap/corp/{ACCOUNT}/status", token_header(token.body))
        assert (answer.status, answer.json["status"]) == (500, "error")
        assert str(site.relay.port) not in answer.text


METHODS = [
    ("/whoami", "POST", "GET, HEAD"), (f"/authn-ldap/corp/{ACCOUNT}/login", "POST", "GET, HEAD"),
    (f"/authn-ldap/{ACCOUNT}/nina/authenticate", "GET", "POST"), (f"/authn/{ACCOUNT}/api_key", "POST", "PUT"),
    ("/authenticators", "DELETE", "GET, HEAD"), (f"/authn/{ACCOUNT}/login", "OPTIONS", "GET, HEAD"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "allowed"), METHODS)
async def test_other_methods(site: ConjurRoom, path: str, method: str, allowed: str) -> None:
    answer = await site.call(method, path)
    assert (answer.status, answer.headers["allow"], answer.trips) == (405, allowed, ())


async def test_bodies(site: ConjurRoom) -> None:
    """DECISIONS 30: 413 before reading. 8: ``conjur-api`` sends a type and no body with its login."""
    target = f"{FAMILIES['service']}/nina/authenticate"
    big = await site.call("POST", target, "Content-Length: 65537", body=None)
    assert (big.status, big.trips) == (413, ())
    chunked = await site.call("POST", target, "Transfer-Encoding: chunked", body=b"ffffff\r\n" + b"x" * 70000)
    assert (chunked.status, chunked.trips) == (413, ())
    login = await site.login("nina", SECRET, "Content-Type: text/plain", "Content-Length: 0", "x-cybr-telemetry: e30=")
    assert (login.status, login.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    head = await site.call("HEAD", f"{FAMILIES['service']}/login", basic_of("nina", SECRET))
    assert (head.status, head.body) == (200, b"")


async def test_without_an_account_there_is_no_dialect(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with conjur_room(slapd, tmp_path_factory.mktemp("off"), account="") as site:
        for path in ("/whoami", "/authenticators", f"/authn/{ACCOUNT}/login"):
            assert (await site.call("GET", path, basic_of("ada", "lovelace"))).status == 404


async def test_a_key_that_was_rotated_while_its_last_byte_was_on_the_way(site: ConjurRoom) -> None:
    """DECISIONS 18: what a body leads to rests on the state at its end."""
    key = await site.key("nina", SECRET)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.room.port)
    head = f"POST {FAMILIES['service']}/nina/authenticate HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(key)}\r\n\r\n"
    writer.write((head + key[:-1]).encode())
    await writer.drain()
    rotated = await site.call("PUT", f"{FAMILIES['authn']}/api_key", basic_of("nina", SECRET))
    assert rotated.status == 200
    writer.write(key[-1:].encode())
    status, _, body = parsed(await one_answer(reader))
    assert (status, body) == (401, b"")
    writer.close()
    await writer.wait_closed()


async def test_many_at_once_and_some_who_leave(site: ConjurRoom) -> None:
    """Clients that hang up in the middle take nobody's turn: all others are served, with one and the same key."""
    head = f"GET {FAMILIES['service']}/login HTTP/1.1\r\nHost: gateway\r\n{basic_of('nina', SECRET)}\r\n\r\n".encode()

    async def leave() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", site.room.port)
        writer.write(head)
        await writer.drain()
        writer.transport.abort()

    keys = await asyncio.gather(*(site.key("nina", SECRET) for _ in range(20)), *(leave() for _ in range(20)))
    assert len(set(keys) - {None}) == 1
    assert (await site.login("nina", SECRET)).status == 200
