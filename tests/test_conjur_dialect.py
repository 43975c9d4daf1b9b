"""Services, tokens and API keys of the Conjur dialect under a whole gateway, without HTTP (conjur.md 5, 6;
configuration.md 3)."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from gateway.config.load import load
from gateway.conjur_dialect import ConjurDialect, NoApiKeys
from gateway.directory.realm import Outcome
from gateway.identity import Account, Group, Identity
from gateway.store.interface import Conflict
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens import keys as ring
from gateway.tokens.conjur import ExpiredConjurToken, InvalidConjurToken, verify
from gateway.tokens.conjur_keys import ApiKeys, is_api_key
from tests.serve.asking import CONFIGURATION
from tests.serve.gateway_room import Room, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVER = """{ name = NAME, host = "127.0.0.1", port = 1, search_base_dns = ["dc=x"], bind_dn = "cn=s,dc=x", bind_password = p MORE }
"""


def servers(**more: str) -> str:
    items = [SERVER.replace("NAME", f'"{name}"').replace("MORE", text) for name, text in more.items()]
    return f"servers = [{', '.join(items)}]\n"


SERVERS = servers(corp="", lab=", recheck = none", guests=", realm = false")
CONJUR = """
conjur { account = myorg, services { Corp { allow = LIST, networks = ["10.0.0.0/8"] }, lab.allow = all, guests.allow = all } }
"""
TEXT = CONFIGURATION + SERVERS + CONJUR.replace("LIST", "all")
TEXT_OF_GUESTS = CONFIGURATION + servers(guests=", realm = false") + "conjur { account = myorg, services.guests.allow = all }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("conjur"), TEXT) as opened:
        yield opened


def person(name: str, server: str = "corp", entry: str = "", **changes: object) -> Account:
    account = Account(server, entry or f"id-{server}-{name}", name, email=f"{name}@example.com", dn=f"uid={name},dc=x")
    return replace(account, **changes)


async def known(room: Room, account: Account) -> Identity:
    identity: Identity = await room.live.identities.admit(account, account.username, now())
    return identity


def now() -> int:
    return int(time.time())


def conjur(room: Room) -> ConjurDialect:
    dialect: ConjurDialect | None = room.live.conjur
    assert dialect is not None
    return dialect


async def token_of(room: Room, identity: Identity, **changes: object) -> str:
    text = await conjur(room).issue(identity, identity.account.username, **{"now": now(), **changes})  # type: ignore[arg-type]
    return base64.b64encode(text.encode()).decode()


async def owner(dialect: ConjurDialect, login: str, servers: Iterable[str], key: str) -> Identity | None:
    found = await dialect.owner(login, dict.fromkeys(servers), key, now())
    return found if isinstance(found, Identity) else None


async def test_off_without_an_account(tmp_path: Path) -> None:
    """configuration.md 1.6."""
    async with room_of(tmp_path, CONFIGURATION) as other:
        assert other.live.conjur is None
        assert all(not key.purpose.startswith("conjur") for key in await other.live.store.keys())


async def test_services(room: Room) -> None:
    dialect = conjur(room)
    assert (dialect.account, set(dialect.services)) == ("myorg", {"corp", "lab", "guests"})
    assert [dialect.enabled(name) for name in ("corp", "CORP", "local", "x")] == [True, True, False, False]
    assert dialect.services["corp"].server == "corp", "as servers[] spells it"


NINA = person("Nina", groups=(Group("ops", "cn=ops,dc=x"),))
ALLOWED: list[tuple[str, str, Account, bool]] = [
    ("5a all", "all", NINA, True),
    ("5a all of this server alone", "all", person("nina", "lab"), False),
    ("5a local users have no service", "all", person("nina", "local"), False),
    ("5b user:NAME is one of this server", "['user:nina']", NINA, True),
    ("5b and no local user", "['user:nina']", person("nina", "local"), False),
    ("5b user:SERVER/NAME", "['user:corp/NINA']", NINA, True),
    ("5b of another server", "['user:lab/nina']", NINA, False),
    ("5b of another server, who is there", "['user:lab/nina']", person("nina", "lab"), False),
    ("5b somebody else", "['user:otto']", NINA, False),
    ("5b a name with a slash", "['user:eu/nina']", person("eu/nina"), True),
    ("5b group:NAME", "['user:otto', 'group:OPS']", NINA, True),
    ("5b group:SERVER/NAME", "['group:corp/ops']", NINA, True),
    ("5b group of another server", "['group:lab/ops']", NINA, False),
    ("5b group:DN", "['group:CN=ops, dc=x']", NINA, True),
    ("5b a DN is no name", "['group:cn=ops,dc=x']", person("nina", groups=(Group("cn=ops,dc=x", "cn=ops,dc=y"),)), False),
    ("5b a user is no group", "['group:nina']", NINA, False),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "entries", "account", "allowed"), ALLOWED, ids=[row[0] for row in ALLOWED])
async def test_privilege(room: Room, proves: str, entries: str, account: Account, allowed: bool) -> None:
    text = CONJUR.replace("LIST", entries.replace("'", '"'))
    await room.reload(CONFIGURATION + SERVERS + text)
    try:
        assert conjur(room).services["corp"].allows(account) is allowed, proves
    finally:
        await room.reload(TEXT)


async def test_tokens_name_their_identity(room: Room) -> None:
    """6.1: jti; networks; verified with the published key alone."""
    nina, dialect = await known(room, NINA), conjur(room)
    encoded = await token_of(room, nina, networks=("10.0.0.0/8", "2001:db8::/32"))
    token = dialect.verify(encoded, now())
    assert (token.login, token.identity_id, token.cidrs) == ("Nina", nina.id, ("10.0.0.0/8", "2001:db8::/32"))
    assert token.expires_at - token.issued_at == 480
    assert await dialect.identity_of(token) == nina
    assert dialect.verify(encoded.replace("+", "-").replace("/", "_"), now()) == token
    key = load_pem_public_key(dialect.public_pem(now()).encode())
    assert isinstance(key, rsa.RSAPublicKey)
    kid = json.loads(base64.urlsafe_b64decode(json.loads(base64.b64decode(encoded))["protected"]))["kid"]
    assert verify(base64.b64decode(encoded).decode(), {kid: key}, now()) == token
    with pytest.raises(ExpiredConjurToken):
        dialect.verify(encoded, now() + 481)


async def test_a_token_ends_with_what_it_rests_on(room: Room) -> None:
    """configuration.md 3: /whoami refuses an identity known to be gone; 18: and one whose tokens were revoked."""
    leaver, dialect = await known(room, person("leaver")), conjur(room)
    token = dialect.verify(await token_of(room, leaver), now())
    await room.live.store.identity_invalidate(leaver.id, now() + 1)
    assert await dialect.identity_of(token) is None
    later = await known(room, person("later"))
    token = dialect.verify(await token_of(room, later), now())
    await room.live.store.identity_gone(later.id, now())
    assert await dialect.identity_of(token) is None


async def test_v4_of_a_name_that_several_have(room: Room) -> None:
    """6.2, DECISIONS 1: it holds a name alone, and yet it is of whom it was made for; so is one of v5."""
    dialect = conjur(room)
    people = [await known(room, person("only", server)) for server in ("corp", "guests", "lab")]
    people.append(await known(room, person("ONLY", "corp", "another entry")))
    for version in ("v4", "v5"):
        for each in people:
            token = dialect.verify(await token_of(room, each, version=version), now())
            assert (token.login, token.version) == (each.account.username, version)
            assert await dialect.identity_of(token) == each
            for other in people:
                if other != each:
                    assert await dialect.identity_of(replace(token, identity_id=other.id)) in (None, each)
            assert await dialect.identity_of(replace(token, login="ada", identity_id="")) is None
            assert await dialect.identity_of(replace(token, text=token.text + b" ")) is None


ENDS = {
    "revoked": lambda room, each: room.live.store.identity_invalidate(each.id, now() + 1),
    "gone": lambda room, each: room.live.store.identity_gone(each.id, now()),
    "its server removed": lambda room, _: room.reload(TEXT_OF_GUESTS),
}


@pytest.mark.parametrize("version", ["v4", "v5"])
@pytest.mark.parametrize("end", ENDS)
async def test_a_token_never_becomes_another_persons(room: Room, end: str, version: str) -> None:
    """DECISIONS 1, 20: who has the name besides, or gets it later, does not inherit it."""
    before = await known(room, person("passed on", entry=f"{end} {version}"))
    encoded = await token_of(room, before, version=version)
    others = [await known(room, person("passed on", "guests")), await known(room, person("passed on", entry=f"later {end}"))]
    assert await conjur(room).identity_of(conjur(room).verify(encoded, now())) == before
    await ENDS[end](room, before)
    try:
        assert await conjur(room).identity_of(conjur(room).verify(encoded, now())) is None
        mine = conjur(room).verify(await token_of(room, others[0], version=version), now())
        assert await conjur(room).identity_of(mine) == others[0]
    finally:
        await room.reload(TEXT)


@pytest.mark.parametrize("version", ["v4", "v5"])
async def test_a_local_user_who_was_removed(room: Room, version: str) -> None:
    """DECISIONS 20: neither token nor key are those of the next person of the name, of the directory or here."""
    ada = await room.login("ada")
    key, encoded = await conjur(room).api_key(ada), await token_of(room, ada, version=version)
    await room.reload(TEXT.replace("username = ada,", "username = zoe,"))
    theirs = await known(room, person("ada"))
    token = conjur(room).verify(encoded, now())
    assert await conjur(room).identity_of(token) is None
    assert await owner(conjur(room), "ada", ["local", "corp"], key) is None
    assert await owner(conjur(room), "ada", ["local", "corp"], await conjur(room).api_key(theirs)) == theirs
    await room.reload(TEXT)
    assert await conjur(room).identity_of(token) is None
    assert await owner(conjur(room), "ada", ["local", "corp"], key) is None
    row = await room.live.store.identity(ada.id)
    assert row.gone_at is None
    again = await conjur(room).api_key(ada)
    assert again != key
    assert (await owner(conjur(room), "ada", ["local", "corp"], again)).id == ada.id  # type: ignore[union-attr]


async def test_a_snapshot_that_does_not_come_into_force_ends_nobody(room: Room) -> None:
    ada = await room.login("ada")
    key = await conjur(room).api_key(ada)

    async def fail() -> None:
        raise Conflict("somebody else wrote")

    (room.directory / "other.conf").write_text(TEXT.replace("username = ada,", "username = zoe,"))
    state = {"CLEARML__state_dir": str(room.directory / "state")}
    snapshot = await asyncio.to_thread(load, [room.directory / "other.conf"], state)
    with pytest.raises(Conflict):
        await room.runtime.reload(snapshot, fail)
    assert await owner(conjur(room), "ada", ["local"], key) == ada


async def test_the_same_key_until_it_is_rotated(room: Room) -> None:
    """5: login returns the same key; 9.14: a rotated one is dead at once."""
    nina, dialect = await known(room, NINA), conjur(room)
    key = await dialect.api_key(nina)
    assert re.fullmatch(r"[a-z2-7]{52}", key)
    assert is_api_key(key)
    assert await dialect.api_key(nina) == key
    for login in ("Nina", "nina", " NINA "):
        assert await owner(dialect, login, ["corp"], key) == nina, login
    assert await owner(dialect, "nina", ["local", "CORP"], key) == nina
    changed = await dialect.rotate(nina)
    assert changed != key
    assert await owner(dialect, "nina", ["corp"], key) is None
    assert await owner(dialect, "nina", ["corp"], changed) == nina
    assert await dialect.api_key(nina) == changed
    await room.reload(TEXT)
    assert await conjur(room).api_key(nina) == changed, "a reload changes nothing"


async def test_whose_a_key_is_not(room: Room) -> None:
    dialect = conjur(room)
    nina, otto = await known(room, NINA), await known(room, person("otto"))
    key, other = await dialect.api_key(nina), await dialect.api_key(otto)
    assert key != other
    rows: list[tuple[str, list[str], str]] = [
        ("otto", ["corp"], key),
        ("nina", ["local"], key),
        ("nina", [], key),
        ("nina", ["corp"], key + "\n"),
        ("nina", ["corp"], key.upper()),
        ("nina", ["corp"], key[:-1]),
        ("nina", ["corp"], "a" * 52),
        ("nina", ["corp"], "lovelace"),
        ("nina", ["corp"], ""),
        ("nina", ["lab"], key),
        ("host/nina", ["local"], key),
        ("nina@example.com", ["corp"], key),
        ("nina", ["corp"], f"\u3000{key}"),
    ]
    for login, where, presented in rows:
        assert await owner(dialect, login, where, presented) is None, (login, where)
    for login, where in (("nina", "guests"), ("*", "corp"), ("nobody", "corp"), ("otto", "corp")):
        # Their directory does not answer, whatever is known here of the name.
        verdict = await dialect.owner(login, {where: None, "local": None}, key, now())
        assert (verdict.server, verdict.outcome) == (where, Outcome.UNREACHABLE)  # type: ignore[union-attr]


async def test_a_name_on_two_servers(room: Room) -> None:
    """The key tells whose it is."""
    dialect = conjur(room)
    both = [await known(room, person("twin", server)) for server in ("corp", "guests")]
    for identity in both:
        found = await owner(dialect, "twin", ["corp", "guests"], await dialect.api_key(identity))
        assert found == identity


async def test_a_rehired_name_has_another_key(room: Room) -> None:
    """DECISIONS 1: the key of whoever had the name before opens nothing."""
    dialect = conjur(room)
    before = await known(room, person("rehired", entry="first"))
    key = await dialect.api_key(before)
    await room.live.store.identity_gone(before.id, now())
    after = await known(room, person("rehired", entry="second"))
    assert await dialect.api_key(after) != key
    assert await owner(dialect, "rehired", ["corp"], key) is None
    assert await owner(dialect, "rehired", ["corp"], await dialect.api_key(after)) == after


async def test_who_left_and_came_back_has_another_key(room: Room) -> None:
    dialect = conjur(room)
    identity = await known(room, person("back"))
    key = await dialect.api_key(identity)
    await room.live.store.identity_gone(identity.id, now())
    await room.live.store.identity_invalidate(identity.id, now() + 1)
    assert await owner(dialect, "back", ["corp"], key) is None
    again = await known(room, person("back"))
    assert again.id == identity.id
    assert await owner(dialect, "back", ["corp"], key) is None
    assert await owner(dialect, "back", ["corp"], await dialect.api_key(again)) is not None


async def test_local_users_have_keys(room: Room) -> None:
    """2: ``/authn/`` knows them; who is no longer configured has none."""
    dialect = conjur(room)
    ada = await room.login("ada")
    key = await dialect.api_key(ada)
    assert await owner(dialect, "ADA", ["local"], key) == ada
    await room.reload(TEXT.replace('{ username = ada,', '{ username = ada, disabled = true,'))
    assert await owner(conjur(room), "ada", ["local"], key) is None
    await room.reload(TEXT)
    assert await owner(conjur(room), "ada", ["local"], key) is not None


async def test_no_keys_where_nobody_can_be_asked(room: Room) -> None:
    """DECISIONS 11: recheck = none."""
    dialect, identity = conjur(room), await known(room, person("otto", "lab"))
    for make in (dialect.api_key, dialect.rotate):
        with pytest.raises(NoApiKeys):
            await make(identity)


async def test_a_key_dies_with_the_service_account(room: Room) -> None:
    """One that was made before recheck became none."""
    identity = await known(room, person("early"))
    key = await conjur(room).api_key(identity)
    await room.reload(TEXT.replace(SERVERS, servers(corp=", recheck = none", lab="", guests="")))
    assert await owner(conjur(room), "early", ["corp"], key) is None
    await room.reload(TEXT)
    assert await owner(conjur(room), "early", ["corp"], key) == identity


async def test_a_server_that_is_gone(room: Room) -> None:
    """DECISIONS 20."""
    identity = await known(room, person("homeless"))
    key, encoded = await conjur(room).api_key(identity), await token_of(room, identity)
    await room.reload(CONFIGURATION + servers(lab="", guests="") + CONJUR.replace("Corp {", "lab {").replace("LIST", "all"))
    try:
        assert await owner(conjur(room), "homeless", ["corp", "lab"], key) is None
        assert await conjur(room).identity_of(conjur(room).verify(encoded, now())) is None
    finally:
        await room.reload(TEXT)


async def test_another_daemon_on_the_same_store(room: Room, tmp_path: Path) -> None:
    """One signing key, the same API keys; a rotation in one is seen by the other at once."""
    identity = await known(room, person("shared"))
    state = str(room.directory / "state")
    async with room_of(tmp_path, TEXT, {"CLEARML__state_dir": state}) as other:
        mine, theirs = conjur(room), conjur(other)
        assert theirs.public_pem(now()) == mine.public_pem(now())
        assert theirs.verify(await token_of(room, identity), now()).identity_id == identity.id
        key = await mine.api_key(identity)
        assert await owner(theirs, "shared", ["corp"], key) == identity
        before = other.live.store.version()
        changed = await mine.rotate(identity)
        assert other.live.store.version() != before
        assert await owner(theirs, "shared", ["corp"], key) is None
        assert await theirs.api_key(identity) == changed


async def test_rotations_at_once_give_each_another_key(room: Room) -> None:
    identity = await known(room, person("busy"))
    made = await asyncio.gather(*(conjur(room).rotate(identity) for _ in range(20)))
    assert len(set(made)) == 20
    assert await conjur(room).api_key(identity) in made


async def test_another_account(room: Room) -> None:
    """9.9: its tokens and keys are others; the first account's are good again afterwards."""
    identity = await known(room, person("mover"))
    encoded, key = await token_of(room, identity), await conjur(room).api_key(identity)
    await room.reload(TEXT.replace("account = myorg", "account = other"))
    with pytest.raises(InvalidConjurToken, match="another's key"):
        conjur(room).verify(encoded, now())
    assert await owner(conjur(room), "mover", ["corp"], key) is None
    await room.reload(TEXT)
    assert conjur(room).verify(encoded, now()).identity_id == identity.id
    assert await conjur(room).api_key(identity) == key
    purposes = [row.purpose for row in await room.live.store.keys() if row.purpose.startswith("conjur:")]
    assert sorted(purposes) == ["conjur:myorg", "conjur:other"]


async def test_another_signing_key(room: Room, tmp_path: Path) -> None:
    """configuration.md 1.6: a configured key signs alone; what another one signed ends with the reload."""
    identity = await known(room, NINA)
    texts, keys = [], []
    for number in range(2):
        key = rsa.generate_private_key(65537, 2048)
        file = tmp_path / f"{number}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        texts.append(TEXT + f'conjur.signing_key_file = "{file}"\n')
        keys.append(key.public_key())
    await room.reload(texts[0])
    first = await token_of(room, identity)
    assert load_pem_public_key(conjur(room).public_pem(now()).encode()) == keys[0]
    assert conjur(room).verify(first, now()).login == "Nina"
    await room.reload(texts[1])
    with pytest.raises(InvalidConjurToken, match="another's key"):
        conjur(room).verify(first, now())
    await room.reload(TEXT)
    with pytest.raises(InvalidConjurToken, match="another's key"):
        conjur(room).verify(first, now())


async def test_a_rotated_ring(room: Room) -> None:
    """The newest key of the ring signs, each that is live verifies, a retired one no more."""
    identity, store = await known(room, NINA), room.live.store
    old = await token_of(room, identity)
    [first] = [row for row in await store.keys() if row.purpose == "conjur:myorg"]
    await store.key_add(await ring.new_pair("conjur:myorg", "RS256", now() - 1))
    await room.reload(TEXT)
    new = await token_of(room, identity)
    assert {conjur(room).verify(each, now()).login for each in (old, new)} == {"Nina"}
    await store.key_retire(first.id, now())
    await room.reload(TEXT)
    assert conjur(room).verify(new, now()).login == "Nina"
    with pytest.raises(InvalidConjurToken, match="another's key"):
        conjur(room).verify(old, now())


async def test_another_master_key_makes_other_keys(room: Room, tmp_path: Path) -> None:
    """Who has the database alone cannot compute a key."""
    identity = await known(room, NINA)
    row = await room.live.store.identity(identity.id)
    store = SqliteStore.open(tmp_path / "other.db", sealer=Sealer(b"x" * 32))
    await store.migrate()
    try:
        assert await ApiKeys(store, "myorg").of(row) != await ApiKeys(room.live.store, "myorg").of(row)
    finally:
        await store.close()
