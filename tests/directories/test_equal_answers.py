"""What a caller, and who watches the wire to the directory, can tell of a name: nothing (DECISIONS 5, 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Answer
from tests.directories.directory_logins import BIND, SEARCH, Watched, outward, watched
from tests.directories.samba import Samba
from tests.directories.samba import password_of as ad_password_of
from tests.directories.samba_fill import PEOPLE_DN as AD_PEOPLE
from tests.directories.samba_fill import REALM
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD
from tests.directories.test_openldap_states import PASSWORDS, STATES_LDIF, PolicySlapd, lock

PEOPLE = f"ou=people,{BASE_DN}"
EVERYWHERE: dict[str, object] = {"search_base_dns": [BASE_DN], "search_filter": "(|(uid=%s)(mail=%s))"}
SEARCH_MODES: dict[str, dict[str, object]] = {
    "service": {**EVERYWHERE, "bind_dn": SERVICE_DN, "bind_password": SERVICE_PASSWORD},
    "anonymous": EVERYWHERE,
    "unauthenticated": {**EVERYWHERE, "bind_dn": SERVICE_DN},
}
BIND_MODES: dict[str, dict[str, object]] = {
    "single": {"bind_dn": f"uid=%s,{PEOPLE}", "search_base_dns": [PEOPLE]},
    "direct": {"user_dn": PEOPLE},
}
SLAPD_MODES = SEARCH_MODES | BIND_MODES
AD_MODES: dict[str, dict[str, object]] = {
    "upn": {"upn_domain": REALM, "search_base_dns": [AD_PEOPLE]},
    "DOMAIN\\user": {"bind_dn": "EXAMPLE\\%s", "search_base_dns": [AD_PEOPLE]},
}
FAILURES = 3
FEW = {"lockout__failures": str(FAILURES)}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicySlapd]:
    """The company, where ``bare`` locked himself out and ``locked`` has no password."""
    directory = tmp_path_factory.mktemp("slapd") / "slapd"
    with PolicySlapd.start(COMPANY, STATES_LDIF, directory=directory) as started:
        file = directory / "slapd.conf"
        # bind_anon_dn is OpenLDAP's word for the unauthenticated bind (RFC 4513 5.1.2).
        file.write_text(f"allow bind_anon_cred bind_anon_dn\n{file.read_text()}")
        started.restart()
        lock(started, "bare")
        yield started


# login, password: unknown, wrong, ambiguous (also with the password of one of the two), without a password, locked there
SLAPD_FAILURES = [
    ("nobody", "wrong"),
    ("grace", "wrong"),
    ("sam", "spade"),
    ("sam", "stargate"),
    ("locked", "x"),
    ("bare", PASSWORDS["bare"]),
    ("o*(brien)", "wrong"),
]


@pytest.mark.parametrize("mode", SLAPD_MODES)
async def test_on_slapd(slapd: PolicySlapd, tmp_path: Path, mode: str) -> None:
    """Unknown, wrong, ambiguous, barred: one answer, and as many round trips; locked by us: one answer and no bind."""
    expected = [SEARCH, BIND] if mode in SEARCH_MODES else [BIND]
    async with watched(tmp_path, slapd.host, slapd.port, SLAPD_MODES[mode], **FEW) as gateway:
        same, _ = await gateway.login("one", "two")
        for login, password in SLAPD_FAILURES:
            if mode in BIND_MODES and password == "stargate":
                continue  # one of the two is all that such a mode can mean, and it is the right password
            answer, seen = await gateway.login(login, password)
            assert outward(answer) == outward(same), login
            assert seen == expected, login
        await locked_out(gateway, "grace", PASSWORDS["grace"], same)
        for spelling in ("Grace", " grace ", "ＧＲＡＣＥ"):
            answer, seen = await gateway.login(spelling, PASSWORDS["grace"])
            assert (outward(answer), seen) == (outward(same), []), spelling
        assert (await gateway.login("alan", PASSWORDS["alan"]))[0].status == 200


@pytest.mark.parametrize("mode", AD_MODES)
async def test_on_active_directory(samba: Samba, tmp_path: Path, mode: str) -> None:
    settings = {**AD_MODES[mode], "preset": "active_directory"}
    async with watched(tmp_path, samba.host, 389, settings, **FEW) as gateway:
        same, _ = await gateway.login("one", "two")
        barred = [(login, ad_password_of(login)) for login in ("disabled", "locked", "expired", "stale", "fresh", "nights")]
        for login, password in (("nobody", "x"), ("contractor", "x"), *barred):
            answer, seen = await gateway.login(login, password)
            assert outward(answer) == outward(same), login
            assert seen == [BIND], login
        await locked_out(gateway, "permanent", ad_password_of("permanent"), same)


async def locked_out(gateway: Watched, login: str, password: str, same: Answer) -> None:
    """Guess until the account is locked; from then on the directory hears nothing of it."""
    for _ in range(FAILURES):
        answer, _ = await gateway.login(login, "guess")
        assert outward(answer) == outward(same)
    answer, seen = await gateway.login(login, password)
    assert (outward(answer), seen) == (outward(same), [])


async def test_all_names_of_a_person_share_a_counter(slapd: PolicySlapd, tmp_path: Path) -> None:
    """DECISIONS 13: the typed name is counted before any traffic, the entry after the search and before the bind."""
    person, password = "linus", PASSWORDS["linus"]
    names = (person, " Linus ", "torvalds", "linus@kernel.example.com", "PENGUIN@example.com")
    async with watched(tmp_path, slapd.host, slapd.port, SEARCH_MODES["service"], **FEW) as gateway:
        same, _ = await gateway.login("one", "two")
        assert (await gateway.login(names[2], password))[0].status == 200
        for name in names[:FAILURES]:
            assert (await gateway.login(name, "guess"))[1] == [SEARCH, BIND]
        for name in names:
            answer, seen = await gateway.login(name, password)
            assert outward(answer) == outward(same), name
            assert BIND not in seen, name
        await asyncio.to_thread(gateway.daemon.wait_for, "locked after too many failures")


async def test_a_lock_survives_a_restart(slapd: PolicySlapd, tmp_path: Path) -> None:
    async with watched(tmp_path, slapd.host, slapd.port, SEARCH_MODES["service"], **FEW) as gateway:
        same, _ = await gateway.login("one", "two")
        await locked_out(gateway, "grace", PASSWORDS["grace"], same)
        gateway.daemon.kill()
        gateway.daemon.log_path.unlink()
        await asyncio.to_thread(gateway.daemon.start)
        answer, seen = await gateway.login("grace", PASSWORDS["grace"])
        assert (outward(answer), seen) == (outward(same), [])
        answer, seen = await gateway.login("grace@example.com", PASSWORDS["grace"])
        assert (outward(answer), seen) == (outward(same), [SEARCH])


async def test_a_directory_that_is_busy_is_so_to_all(slapd: PolicySlapd, tmp_path: Path) -> None:
    """RFC 4511 appendix A.1: 51 to every bind. Who is unknown must not get another answer than who is known."""

    def busy(data: bytes) -> bytes:
        return data.replace(b"\x61\x07\x0a\x01\x31", b"\x61\x07\x0a\x01\x33")

    async with watched(tmp_path, slapd.host, slapd.port, SEARCH_MODES["anonymous"]) as gateway:
        gateway.relay.spoil = busy
        same, _ = await gateway.login("grace", "wrong")
        assert (same.status, same.headers["Retry-After"]) == (503, "10")
        for login in ("nobody", "sam"):
            answer, seen = await gateway.login(login, "wrong")
            assert (outward(answer), seen) == (outward(same), [SEARCH, BIND]), login
