"""The key set through rotations, restarts and changes of the algorithm, as a verifier sees it that keeps the set and asks
for no unknown key (grafana.md 5)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from gateway.config.schema import Configuration
from gateway.grants.grafana_settings import grafana_settings
from gateway.identity import Account, Grant, Identity
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens.grafana_tokens import GrafanaTokens
from gateway.tokens.key_pairs import RotationPending
from gateway.tokens.key_set import KeySet
from gateway.tokens.keys import JWKS, KeyRingError, ensure, of_purpose

NOW = 1_800_000_000
OVERLAP, LIFETIME, LEEWAY = 900, 300, 60
SEALER = Sealer(bytes(range(32)))
ADA = Identity("0" * 32, "u", Account("local", "ada", "ada"), Grant("c", "clearml", org_roles={1: "Admin"}), 0)
OpenStore = Callable[[], Awaitable[SqliteStore]]


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    async with AsyncExitStack() as opened:

        async def one_more() -> SqliteStore:
            store = SqliteStore.open(tmp_path / "gateway.db", sealer=SEALER)
            opened.push_async_callback(store.close)
            await store.migrate()
            return store

        yield one_more


async def daemon(store: SqliteStore, now: int, **jwt: Any) -> GrafanaTokens:
    tree = {"public_url": "https://gw.test", "grafana": {"jwt": jwt}}
    return await GrafanaTokens.load(store, Configuration.model_validate(tree), now)


@dataclass
class Verifier:
    """A Grafana behind one daemon: fetches the set when ``cache_ttl`` is over, and never otherwise."""

    cache_ttl: int = 600
    until: int = 0
    keys: dict[str, Any] = field(default_factory=dict)

    async def check(self, token: str, tokens: GrafanaTokens, now: int) -> str:
        """The key's id. Raises KeyError for an unknown one, and what PyJWT raises."""
        if now >= self.until:
            await tokens.keys.follow()
            document = tokens.keys.document(now)
            assert document.max_age <= OVERLAP
            self.keys = {key["kid"]: key for key in json.loads(document.body)["keys"]}
            self.until = now + min(self.cache_ttl, document.max_age)
        header = pyjwt.get_unverified_header(token)
        key = pyjwt.PyJWK(self.keys[header["kid"]])
        claims = pyjwt.decode(
            token, key.key, algorithms=["ES256", "RS256"], audience="grafana", issuer="https://gw.test",
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )  # fmt: skip
        assert claims["nbf"] <= now + LEEWAY and claims["exp"] > now - LEEWAY
        kid: str = header["kid"]
        return kid


async def mint(tokens: GrafanaTokens, now: int) -> str:
    await tokens.keys.follow()
    return tokens.mint(ADA, now).text


class Site:
    """Daemons on one store, and a Grafana behind each of them that holds every token to its end."""

    def __init__(self, *daemons: GrafanaTokens) -> None:
        self.daemons = list(daemons)
        self.verifiers = [Verifier(until=-1) for _ in daemons]
        self.signed_with: list[str] = []
        self._held: dict[str, int] = {}
        """Tokens and when they end."""

    async def pass_time(self, begin: int, seconds: int, step: int = 30) -> None:
        for now in range(begin, begin + seconds, step):
            for tokens in self.daemons:
                token = await mint(tokens, now)
                self._held[token] = pyjwt.decode(token, options={"verify_signature": False})["exp"]
                kid = pyjwt.get_unverified_header(token)["kid"]
                if kid not in self.signed_with[-1:]:
                    self.signed_with.append(kid)
            self._held = {token: end for token, end in self._held.items() if now < end + LEEWAY}
            for tokens, verifier in zip(self.daemons, self.verifiers, strict=True):
                for token in self._held:
                    await verifier.check(token, tokens, now)


# Of the defaults an old key would outlive its tokens by key_overlap alone.
SPANS = [(LIFETIME, OVERLAP), (3600, 60)]


@pytest.mark.parametrize(("lifetime", "overlap"), SPANS)
async def test_no_verifier_ever_misses_a_key(open_store: OpenStore, lifetime: int, overlap: int) -> None:
    """Before, during and after a rotation by one of two daemons."""
    spans = {"lifetime": lifetime, "key_overlap": overlap}
    one, two = await daemon(await open_store(), NOW, **spans), await daemon(await open_store(), NOW, **spans)
    site = Site(one, two)
    await site.pass_time(NOW, 1200)
    [first] = site.signed_with
    rotated = NOW + 1210
    new = await one.keys.rotate(rotated)
    assert [one.keys.state(key, rotated) for key in one.keys.all] == ["signs", "waiting"]
    await site.pass_time(rotated, overlap - 30)
    assert site.signed_with == [first]
    await site.pass_time(rotated + overlap - 30, 3 * 3600)
    assert site.signed_with == [first, new.signer.key_id]
    late = rotated + overlap + 3 * 3600
    assert [one.keys.state(key, late) for key in one.keys.all] == ["gone", "signs"]
    assert [two.keys.state(key, late) for key in two.keys.all] == ["gone", "signs"]


@pytest.mark.parametrize("overlap", [60, 61, 90, 600, 900, 3600, 7 * 86400])
async def test_a_cache_before_the_verifier_shortens_nothing(open_store: OpenStore, overlap: int) -> None:
    """A shared cache answers as long as ``max-age`` lets it, and Grafana keeps that answer for all of ``cache_ttl``."""
    tokens = await daemon(await open_store(), NOW, key_overlap=overlap)
    tree = {"public_url": "https://gw.test", "grafana": {"jwt": {"key_overlap": overlap}}}
    printed = re.search(r"^cache_ttl = (\d+)([sm])$", grafana_settings(Configuration.model_validate(tree), "jwt").text, re.MULTILINE)
    assert printed is not None
    cache_ttl = int(printed[1]) * (60 if printed[2] == "m" else 1)
    cached = tokens.keys.document(NOW)
    assert (cached.max_age + cache_ttl < overlap, cached.max_age >= 15) == (True, True)
    await tokens.keys.rotate(NOW)  # behind the back of the cache
    late = NOW + cached.max_age - 1  # Grafana fetches what the cache still has
    known = {key["kid"] for key in json.loads(cached.body)["keys"]}
    for now in range(late, late + cache_ttl, max(1, cache_ttl // 10)):
        assert pyjwt.get_unverified_header(await mint(tokens, now))["kid"] in known
    known = {key["kid"] for key in json.loads(tokens.keys.document(late + cache_ttl).body)["keys"]}
    assert pyjwt.get_unverified_header(await mint(tokens, NOW + overlap + 1))["kid"] in known


async def test_rotations_one_after_the_other(open_store: OpenStore) -> None:
    store = await open_store()
    tokens = await daemon(store, NOW)
    site, now = Site(tokens), NOW
    for _ in range(3):
        await tokens.keys.rotate(now)
        with pytest.raises(RotationPending, match="has yet to sign"):
            await tokens.keys.rotate(now + OVERLAP - 1)
        await site.pass_time(now, OVERLAP)
        now += OVERLAP
    await site.pass_time(now, 600)
    assert len(site.signed_with) == 4
    await tokens.keys.rotate(now + 600)
    await tokens.keys.rotate(now + 660, force=True)
    await site.pass_time(now + 600, 3600)
    assert len(site.signed_with) >= 5
    assert len(await of_purpose(store, JWKS)) == 6


async def test_of_several_that_rotate_at_once_one_does(open_store: OpenStore) -> None:
    daemons = [await daemon(await open_store(), NOW) for _ in range(4)]
    results = await asyncio.gather(*(each.keys.rotate(NOW) for each in daemons), return_exceptions=True)
    assert sum(isinstance(result, RotationPending) for result in results) == 3, results
    assert len(await of_purpose(await open_store(), JWKS)) == 2


async def test_at_once(open_store: OpenStore) -> None:
    """What the stolen key has signed no longer counts, be the clock set back."""
    one, two = await daemon(await open_store(), NOW), await daemon(await open_store(), NOW)
    await one.keys.rotate(NOW)  # one is leaving, and one waiting
    before = await mint(two, NOW + 10)
    new = await one.keys.rotate(NOW + 20, at_once=True)
    for tokens in (one, two):
        after = await mint(tokens, NOW + 20)
        assert await Verifier().check(after, tokens, NOW + 20) == new.signer.key_id
        for now in (NOW + 20, NOW - 10**6):
            assert [key["kid"] for key in json.loads(tokens.keys.document(now).body)["keys"]] == [new.signer.key_id]
            with pytest.raises(KeyError):
                await Verifier().check(before, tokens, NOW + 20)
            assert tokens.keys.signer(now).key_id == new.signer.key_id


@pytest.mark.parametrize("pending", [False, True])
async def test_another_algorithm(open_store: OpenStore, *, pending: bool) -> None:
    """A reload: the new key is published first, the old one signs until then; and back again."""
    store = await open_store()
    tokens = await daemon(store, NOW)
    if pending:
        await tokens.keys.rotate(NOW)
    site = Site(tokens)
    await site.pass_time(NOW, 600)
    site.daemons = [await daemon(store, NOW + 600, algorithm="RS256")]
    site.daemons = [await daemon(store, NOW + 610, algorithm="RS256")]  # restarted: makes no third one
    await site.pass_time(NOW + 630, 2 * OVERLAP, step=60)
    assert site.daemons[0].keys.signer(NOW + 630 + 2 * OVERLAP).jwk["alg"] == "RS256"
    back = NOW + 630 + 2 * OVERLAP
    site.daemons = [await daemon(store, back)]
    await site.pass_time(back, 2 * OVERLAP + 3600, step=60)
    assert site.daemons[0].keys.signer(back + 2 * OVERLAP).jwk["alg"] == "ES256"
    assert len(await of_purpose(store, JWKS)) == 3 + pending


async def test_a_rotation_that_was_cut_short_is_finished(open_store: OpenStore) -> None:
    """Killed after the new key was written and before the old one got its end."""
    store = await open_store()
    tokens = await daemon(store, NOW)
    [first] = await of_purpose(store, JWKS)

    class Killed(Exception): ...

    async def killed(key_id: str, at: int) -> bool:
        raise Killed

    store.key_retire = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await tokens.keys.rotate(NOW)
    del store.key_retire  # type: ignore[method-assign]
    assert [row.retired_at for row in await of_purpose(store, JWKS)] == [None, None]
    again = await daemon(store, NOW + 5)
    site = Site(again)
    await site.pass_time(NOW + 5, 2 * 3600)
    assert len(site.signed_with) == 2
    assert [row.retired_at is not None for row in await of_purpose(store, JWKS)] == [True, False]
    assert first.id == (await of_purpose(store, JWKS))[0].id


async def test_a_clock_that_was_set_back(open_store: OpenStore) -> None:
    store = await open_store()
    tokens = await daemon(store, NOW)
    await tokens.keys.rotate(NOW)
    early = NOW - 10**7
    site = Site(await daemon(store, early))
    await site.pass_time(early, 600)
    await site.daemons[0].keys.rotate(early + 600, force=True)  # comes behind the one of the future
    await site.pass_time(early + 600, 2 * OVERLAP)
    assert len(site.signed_with) == 1, "better the old key, which verifiers know, than one that is of the future"
    rows = await of_purpose(store, JWKS)
    assert [row.retired_at is None for row in rows] == [False, False, True]


async def test_a_clock_that_was_set_back_before_every_key(open_store: OpenStore) -> None:
    tokens = await daemon(await open_store(), NOW)
    stays = await tokens.keys.rotate(NOW, at_once=True)
    await tokens.keys.rotate(NOW + 10)
    site = Site(tokens)
    await site.pass_time(NOW - 10**7, 600)
    assert site.signed_with == [stays.signer.key_id], "not the one that is still waiting"


async def test_without_any_key_left(open_store: OpenStore) -> None:
    store = await open_store()
    tokens = await daemon(store, NOW)
    [row] = await of_purpose(store, JWKS)
    await store.key_retire(row.id, NOW)
    await tokens.keys.follow()
    with pytest.raises(KeyRingError, match="no key left"):
        tokens.keys.signer(NOW)
    made = await daemon(store, NOW)
    assert made.keys.signer(NOW).key_id != tokens.keys.all[0].signer.key_id


async def test_processes_starting_at_once_end_with_one_key(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(4)]
    found = await asyncio.gather(*(ensure(store, "conjur:acme", "ES256", NOW) for store in stores for _ in range(2)))
    assert len({row.id for rows in found for row in rows}) == 1
    sets = await asyncio.gather(*(KeySet.load(store, Configuration().grafana.jwt, NOW) for store in stores))
    assert len({each.signer(NOW).key_id for each in sets}) == 1


async def test_another_master_key(open_store: OpenStore, tmp_path: Path) -> None:
    """DECISIONS 19."""
    await daemon(await open_store(), NOW)
    other = SqliteStore.open(tmp_path / "gateway.db", sealer=Sealer(bytes(32)))
    with pytest.raises(KeyRingError, match=r"put back the tokens\.master_key"):
        await KeySet.load(other, Configuration().grafana.jwt, NOW)
    await other.close()


async def test_a_token_is_shared_for_half_its_life_and_by_whom_the_same_is_said_of(open_store: OpenStore) -> None:
    """DECISIONS 17."""
    tokens = await daemon(await open_store(), NOW)
    first = tokens.mint(ADA, NOW)
    assert tokens.mint(ADA, NOW + LIFETIME // 2 - 1) is first
    second = tokens.mint(ADA, NOW + LIFETIME // 2)
    assert second is not first
    assert second.counts(NOW + LIFETIME // 2) and not first.counts(NOW + LIFETIME // 2)
    assert tokens.mint(ADA, NOW) is not second, "after a clock was set back it would be of the future"
    promoted = Identity(ADA.id, "u", ADA.account, Grant("c", "clearml", org_roles={1: "Admin", 2: "Viewer"}), 0)
    claims = pyjwt.decode(tokens.mint(promoted, NOW).text, options={"verify_signature": False})
    assert claims == {
        "iss": "https://gw.test", "aud": "grafana", "iat": NOW, "nbf": NOW, "exp": NOW + LIFETIME,
        "sub": "ada", "login": "ada", "email": "", "name": "", "orgs": ["o1_Admin", "o2_Viewer"],
    }  # fmt: skip
    assert first.text not in repr(first)
