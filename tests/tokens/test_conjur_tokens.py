"""Tokens of the Conjur dialect (conjur.md 6.1, 6.2), judged by the vectors of 6.3 and by arithmetic."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from conjur_by_hand import (
    KNOWN_FINGERPRINT,
    KNOWN_KEY,
    KNOWN_V4,
    KNOWN_V5,
    SALT,
    base64url,
    header_of,
    signed_v4,
    signed_v5,
)
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens import conjur
from gateway.tokens.conjur import (
    ConjurToken,
    ExpiredConjurToken,
    InvalidConjurToken,
    MalformedConjurToken,
    Signer,
    UnusableKey,
    decode,
    verify,
)

AT = 1_750_000_000
KEY = rsa.generate_private_key(65537, 2048)
SIGNER = Signer.load(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
OTHER = Signer.load(rsa.generate_private_key(65537, 2048).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
SETTINGS = settings(deadline=None)
KEYS = {SIGNER.fingerprint: SIGNER.public_key}


def known_keys() -> dict[str, Any]:
    key = load_der_public_key(base64.b64decode(KNOWN_KEY))
    assert isinstance(key, rsa.RSAPublicKey)
    return {conjur.fingerprint(key): key}


@pytest.mark.parametrize("token", [KNOWN_V5, KNOWN_V4], ids=["v5", "v4"])
def test_the_known_tokens(token: dict[str, str]) -> None:
    """6.3: both verify at 1750000100; not with one character changed, and not at 1750000481."""
    keys = known_keys()
    assert list(keys) == [KNOWN_FINGERPRINT]
    found = verify(json.dumps(token), keys, AT + 100)
    assert (found.login, found.issued_at, found.expires_at, found.cidrs, found.identity_id) == ("nina", AT, AT + 480, (), "")
    assert verify(json.dumps(token, indent=2), keys, AT + 479).login == "nina", "2.3: any JSON spacing"
    for now in (AT + 480, AT + 481):
        with pytest.raises(ExpiredConjurToken):
            verify(json.dumps(token), keys, now)
    for name in token.keys() - {"key"}:
        for place in (0, len(token[name]) // 2):
            letter = "A" if token[name][place] != "A" else "B"
            changed = token | {name: token[name][:place] + letter + token[name][place + 1 :]}
            with pytest.raises(InvalidConjurToken):
                verify(json.dumps(changed), keys, AT + 100)


@pytest.mark.parametrize("login", ["nina", "host/apps/backup", "Zoë", "a~b?c>d\x7f", "\u2028'\"\\"])
def test_the_same_bytes_as_by_hand(login: str) -> None:
    """6.1, 6.2: RSA with the bare digest, computed once more as EM^d mod n."""
    made = json.loads(SIGNER.sign_v5(login, AT, 480, ("10.0.0.0/8",), "1f", salt=lambda _: SALT))
    payload = base64.b64decode(made["payload"], validate=True).decode("ascii")
    assert json.loads(payload) == {"iat": AT, "exp": AT + 480, "sub": login, "cidr": ["10.0.0.0/8"], "jti": "1f"}
    assert made == signed_v5(KEY, payload)
    assert len(base64.urlsafe_b64decode(made["signature"])) == 288
    old = json.loads(SIGNER.sign_v4(login, AT, salt=lambda _: SALT))
    assert old == signed_v4(KEY, login, "2025-06-15 15:06:40 UTC")
    assert list(old) == ["data", "timestamp", "signature", "key"]
    found = verify(json.dumps(made), KEYS, AT), verify(json.dumps(old), KEYS, AT)
    assert found[0] == ConjurToken(login, AT, AT + 480, ("10.0.0.0/8",), "1f", "v5")
    assert found[1] == ConjurToken(login, AT, AT + 480, (), "", "v4")
    assert {token.salt for token in found} == {SALT}
    assert found[0].text == f"{made['protected']}.{made['payload']}".encode()
    assert json.loads(found[1].text) == [["data", login], ["timestamp", "2025-06-15 15:06:40 UTC"]]


def test_the_order_of_claims() -> None:
    """6.3: the payload of the vector, byte for byte."""
    assert json.loads(SIGNER.sign_v5("nina", AT, 480))["payload"] == KNOWN_V5["payload"]


def test_the_salt_is_random() -> None:
    first, second = (json.loads(SIGNER.sign_v5("nina", AT, 480))["signature"] for _ in range(2))
    assert base64.urlsafe_b64decode(first)[-32:] != base64.urlsafe_b64decode(second)[-32:]


@SETTINGS
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_any_login_is_readable_to_everybody(login: str) -> None:
    """9.11: a standard base64 decoder reads protected and payload."""
    made = json.loads(SIGNER.sign_v5(login, AT, 480))
    for member in ("protected", "payload"):
        content = base64.b64decode(made[member], validate=True)
        assert content.isascii()
    assert json.loads(content)["sub"] == login
    assert verify(json.dumps(made), KEYS, AT).login == login
    assert verify(SIGNER.sign_v4(login, AT), KEYS, AT).login == login


HEADER = header_of(SIGNER.fingerprint)
GOOD = '{"iat":1750000000,"exp":1750000480,"sub":"nina"}'
COUNTS = [
    ("6.1 no exp is 480 s", '{"iat":1750000000,"sub":"nina"}', AT + 479, AT + 480),
    ("6.1 up to 5 hours", '{"iat":1750000000,"exp":1750018000,"sub":"nina"}', AT + 17_999, AT + 18_000),
    ("6.1 claims that Conjur knows", '{"iat":1750000000,"sub":"nina","iss":"a","aud":"b","jti":"c","cidr":[]}', AT, AT + 480),
    ("6.1 any order and spacing", ' { "sub" : "nina", "iat" : 1750000000 } ', AT, AT + 480),
    ("a clock that was set back by 30 s", GOOD, AT - 30, AT + 480),
]


@pytest.mark.parametrize(("proves", "payload", "now", "ends"), COUNTS, ids=[row[0] for row in COUNTS])
def test_what_counts(proves: str, payload: str, now: int, ends: int) -> None:
    token = verify(json.dumps(signed_v5(KEY, payload)), KEYS, now)
    assert (token.login, token.expires_at) == ("nina", ends), proves


REFUSED: list[tuple[str, str, str | bytes, str]] = [
    ("9.10 alg none", header_of(SIGNER.fingerprint, "none"), GOOD, "another algorithm"),
    ("9.10 alg HS256", header_of(SIGNER.fingerprint, "HS256"), GOOD, "another algorithm"),
    ("alg in capitals", header_of(SIGNER.fingerprint, "CONJUR.org/slosilo/v2"), GOOD, "another algorithm"),
    ("no alg", json.dumps({"kid": SIGNER.fingerprint}), GOOD, "another algorithm"),
    ("a header more", HEADER[:-1] + ',"crit":["x"]}', GOOD, "another algorithm"),
    ("6.1 no kid", '{"alg":"conjur.org/slosilo/v2"}', GOOD, "another algorithm"),
    ("6.1 another kid, signed by us", header_of(OTHER.fingerprint), GOOD, "another's key"),
    ("kid in capitals", header_of(SIGNER.fingerprint.upper()), GOOD, "another's key"),
    ("kid a list", '{"alg":"conjur.org/slosilo/v2","kid":["x"]}', GOOD, "another's key"),
    ("alg twice", HEADER.replace('{"alg"', '{"alg":"none","alg"'), GOOD, "no JSON"),
    ("header no object", '["alg"]', GOOD, "no JSON object"),
    ("6.1 over 5 hours", HEADER, '{"iat":1750000000,"exp":1750018001,"sub":"nina"}', "too long"),
    ("6.1 ends before it begins", HEADER, '{"iat":1750000000,"exp":1749999999,"sub":"nina"}', "too long"),
    ("of the future", HEADER, '{"iat":1750000131,"sub":"nina"}', "future"),
    ("no iat", HEADER, '{"exp":1750000480,"sub":"nina"}', "whole number"),
    ("iat a truth value", HEADER, '{"iat":true,"exp":400,"sub":"nina"}', "whole number"),
    ("iat a fraction", HEADER, '{"iat":1750000000.0,"sub":"nina"}', "whole number"),
    ("exp a text", HEADER, '{"iat":1750000000,"exp":"1750000480","sub":"nina"}', "whole number"),
    ("exp null", HEADER, '{"iat":1750000000,"exp":null,"sub":"nina"}', "whole number"),
    ("iat negative", HEADER, '{"iat":-1,"sub":"nina"}', "whole number"),
    ("iat beyond any date", HEADER, '{"iat":1' + "0" * 30 + ',"sub":"nina"}', "whole number"),
    ("iat of 5000 digits", HEADER, '{"iat":' + "9" * 5000 + ',"sub":"nina"}', "no JSON"),
    ("exp NaN", HEADER, '{"iat":1750000000,"exp":NaN,"sub":"nina"}', "no JSON"),
    ("exp Infinity", HEADER, '{"iat":1750000000,"exp":Infinity,"sub":"nina"}', "no JSON"),
    ("sub twice", HEADER, '{"iat":1750000000,"sub":"nina","sub":"otto"}', "no JSON"),
    ("no sub", HEADER, '{"iat":1750000000}', "no text"),
    ("sub empty", HEADER, '{"iat":1750000000,"sub":""}', "no text"),
    ("sub half of a pair", HEADER, '{"iat":1750000000,"sub":"\\ud800"}', "no JSON"),
    ("jti a number", HEADER, '{"iat":1750000000,"sub":"nina","jti":1}', "no text"),
    ("cidr a text", HEADER, '{"iat":1750000000,"sub":"nina","cidr":"10.0.0.0/8"}', "cidr"),
    ("cidr no network", HEADER, '{"iat":1750000000,"sub":"nina","cidr":["10.0.0.0/8","everywhere"]}', "cidr"),
    ("cidr a number", HEADER, '{"iat":1750000000,"sub":"nina","cidr":[10]}', "cidr"),
    ("payload deep", HEADER, "[" * 11_000, "no JSON"),
    ("payload no UTF-8", HEADER, b'{"sub":"\xff"}', "no UTF-8"),
]


@pytest.mark.parametrize(("proves", "header", "payload", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused(proves: str, header: str, payload: str | bytes, why: str) -> None:
    """Each of them is signed with our key, or with what it says."""
    with pytest.raises(InvalidConjurToken, match=why) as caught:
        verify(json.dumps(signed_v5(KEY, payload, header)), KEYS, AT + 100)
    assert not isinstance(caught.value, ExpiredConjurToken), proves


def test_another_gateways() -> None:
    """9.9: its key is not ours, and to give it our name helps nothing."""
    token = json.loads(OTHER.sign_v5("nina", AT, 480))
    with pytest.raises(InvalidConjurToken, match="another's key"):
        verify(json.dumps(token), KEYS, AT)
    with pytest.raises(InvalidConjurToken, match="signature is wrong"):
        verify(json.dumps(signed_v5(OTHER.key, GOOD, HEADER)), KEYS, AT)
    with pytest.raises(InvalidConjurToken, match="signature is wrong"):
        verify(json.dumps(signed_v4(OTHER.key, "nina", "2025-06-15 15:06:40 UTC") | {"key": SIGNER.fingerprint}), KEYS, AT)


V5, V4 = json.loads(SIGNER.sign_v5("nina", AT, 480)), json.loads(SIGNER.sign_v4("nina", AT))


def stray_bits(text: str) -> str:
    """Another text that a lenient decoder reads as the same bytes; its padding must be one character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert text.endswith("=")
    body = text.rstrip("=")
    changed = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1] + text[len(body) :]
    assert base64.urlsafe_b64decode(changed) == base64.urlsafe_b64decode(text)
    return changed


MALFORMED: list[tuple[str, str]] = [
    ("nothing", ""),
    ("a number", "1"),
    ("a list", "[]"),
    ("an empty object", "{}"),
    ("16 KiB", json.dumps(V5) + " " * 16_384),
    ("deep", "[" * 16_000),
    ("a member less", json.dumps({name: V5[name] for name in ("protected", "payload")})),
    ("a member more", json.dumps(V5 | {"x": "y"})),
    ("both versions", json.dumps(V5 | V4)),
    ("a member twice", json.dumps(V5)[:-1] + ',"payload":"' + V5["payload"] + '"}'),
    ("a member that is no text", json.dumps(V5 | {"payload": {"sub": "nina"}})),
    ("standard alphabet in a member", json.dumps(signed_v5(KEY, '{"iat":1750000000,"sub":"a?~"}')).replace("_", "/")),
    ("no padding in a member", json.dumps(V5 | {"protected": V5["protected"].rstrip("=")})),
    ("a blank in a member", json.dumps(V5 | {"payload": V5["payload"] + " "})),
    ("a line end in a member", json.dumps(V5 | {"signature": V5["signature"] + "\n"})),
    ("stray bits in the header", json.dumps(V5 | {"protected": stray_bits(V5["protected"])})),
    ("v4: data a list", json.dumps(V4 | {"data": ["nina"]})),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "text"), MALFORMED, ids=[row[0] for row in MALFORMED])
def test_what_is_no_token(proves: str, text: str) -> None:
    assert json.dumps(V5) != text
    with pytest.raises(InvalidConjurToken):
        verify(text, KEYS, AT)


def test_the_signature_has_one_spelling() -> None:
    """A key of 2056 bits makes signatures of 289 bytes, whose base64 has bits to spare."""
    key = rsa.generate_private_key(65537, 2056)
    token = signed_v5(key, GOOD)
    keys = {conjur.fingerprint(key.public_key()): key.public_key()}
    assert verify(json.dumps(token), keys, AT).login == "nina"
    with pytest.raises(MalformedConjurToken):
        verify(json.dumps(token | {"signature": stray_bits(token["signature"])}), keys, AT)


SIGNATURES = [
    ("empty", b""),
    ("salt alone", SALT),
    ("a byte less", base64.urlsafe_b64decode(V5["signature"])[1:]),
    ("a byte more", b"\0" + base64.urlsafe_b64decode(V5["signature"])),
    ("zeros", bytes(288)),
    ("ones", b"\xff" * 288),
    ("another salt", base64.urlsafe_b64decode(V5["signature"])[:256] + SALT),
]


@pytest.mark.parametrize(("proves", "signature"), SIGNATURES, ids=[row[0] for row in SIGNATURES])
def test_other_signatures(proves: str, signature: bytes) -> None:
    with pytest.raises(InvalidConjurToken):
        verify(json.dumps(V5 | {"signature": base64url(signature)}), KEYS, AT)


def test_with_digest_info_it_is_another_signature() -> None:
    """6.1: what PKCS #1 v1.5 with SHA-256 yields is not a token's signature."""
    text = f"{V5['protected']}.{V5['payload']}".encode()
    made = KEY.sign(SALT + text, PKCS1v15(), SHA256())
    with pytest.raises(InvalidConjurToken, match="signature is wrong"):
        verify(json.dumps(V5 | {"signature": base64url(made + SALT)}), KEYS, AT)


TIMESTAMPS = [
    ("6.2 exactly this form", "2025-06-15 15:06:40 UTC", ""),
    ("another zone", "2025-06-15 15:06:40 CET", "no time"),
    ("ISO 8601", "2025-06-15T15:06:40Z", "no time"),
    ("with an offset", "2025-06-15 15:06:40 +0000", "no time"),
    ("digits of another script", "2025-06-15 15:06:4٠ UTC", "no time"),
    ("short", "2025-6-15 15:06:40 UTC", "no time"),
    ("no such day", "2025-06-31 15:06:40 UTC", "no time"),
    ("no such second", "2025-06-15 15:06:60 UTC", "no time"),
    ("before 1970", "1969-12-31 23:59:59 UTC", "whole number"),
    ("of the future", "2025-06-15 15:07:11 UTC", "future"),
    ("a line end", "2025-06-15 15:06:40 UTC\n", "no time"),
]


@pytest.mark.parametrize(("proves", "timestamp", "why"), TIMESTAMPS, ids=[row[0] for row in TIMESTAMPS])
def test_timestamps(proves: str, timestamp: str, why: str) -> None:
    text = json.dumps(signed_v4(KEY, "nina", timestamp))
    if not why:
        assert verify(text, KEYS, AT).issued_at == AT
        return
    with pytest.raises(InvalidConjurToken, match=why):
        verify(text, KEYS, AT)


def test_how_long_v4_counts() -> None:
    """6.2: 8 minutes from its timestamp, or as configured where that is less."""
    text = SIGNER.sign_v4("nina", AT)
    assert verify(text, KEYS, AT + 479).expires_at == AT + 480
    with pytest.raises(ExpiredConjurToken):
        verify(text, KEYS, AT + 60, lifetime=60)
    for lifetime in (480, 481, 18_000):
        with pytest.raises(ExpiredConjurToken):
            verify(text, KEYS, AT + 480, lifetime=lifetime)


def test_how_it_comes() -> None:
    """2.3: base64 of either alphabet, padded; anything else is no token."""
    text = "{\"a\":\"\u07ff\u07ff~~~\"}"
    standard, urlsafe = base64.b64encode(text.encode()).decode(), base64.urlsafe_b64encode(text.encode()).decode()
    assert standard != urlsafe
    assert decode(standard) == decode(urlsafe) == text
    for bad in (standard.rstrip("=") if standard.endswith("=") else standard + "=", standard + "\n", " " + standard, "é",
                "A" * 16_388, base64.b64encode(b"\xff\xff").decode(), "\ud800"):  # fmt: skip
        with pytest.raises(MalformedConjurToken):
            decode(bad)


@SETTINGS
@given(st.text() | st.binary().map(lambda content: base64.b64encode(content).decode()))
def test_anything_is_refused_in_one_way(presented: str) -> None:
    with pytest.raises(InvalidConjurToken):
        verify(decode(presented), KEYS, AT)


@SETTINGS
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["protected", "payload", "signature", "data", "timestamp", "key"]), inner)))
def test_any_json_is_refused_in_one_way(value: object) -> None:
    with pytest.raises(InvalidConjurToken):
        verify(json.dumps(value), KEYS, AT)


@settings(SETTINGS, max_examples=30)
@given(st.dictionaries(st.sampled_from(["iat", "exp", "sub", "cidr", "jti"]), st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=2)))
def test_any_claims_are_refused_in_one_way(claims: dict[str, object]) -> None:
    try:
        verify(json.dumps(signed_v5(KEY, json.dumps(claims))), KEYS, AT)
    except InvalidConjurToken:
        return
    assert isinstance(claims["iat"], int)
    assert claims["sub"]


UNUSABLE = [
    ("no PEM", lambda: b"-----BEGIN nothing", "no private key"),
    ("no DER", lambda: b"xyz", "no private key"),
    ("an EC key", lambda: _pem(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
    ("1024 bits", lambda: _pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    ("a passphrase", lambda: KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")), "encrypted"),
    ("a public key", lambda: SIGNER.public_pem.encode(), "no private key"),
]


def _pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(("proves", "make", "why"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
def test_unusable_keys(proves: str, make: Any, why: str) -> None:
    with pytest.raises(UnusableKey, match=why) as caught:
        Signer.load(make())
    assert caught.value.__cause__ is None


def test_keys_are_read_in_every_form() -> None:
    """4: SLOSILO_KEY is an RSA key in PEM, as openssl and Conjur write it (PKCS #1), or PKCS #8."""
    for encoding in (Encoding.PEM, Encoding.DER):
        for form in (PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8):
            assert Signer.load(KEY.private_bytes(encoding, form, NoEncryption())).fingerprint == SIGNER.fingerprint
    assert "PRIVATE" not in repr(SIGNER) + SIGNER.public_pem
