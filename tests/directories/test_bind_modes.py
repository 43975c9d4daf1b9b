"""How people are found and bound, in every mode, with the octets that reach a real slapd (grafana.md 2, vault.md 4)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.directory.realm import Outcome
from tests.daemon import running
from tests.directories.directory_logins import bound_names, configured, filters, logins, outward, watched
from tests.directories.hostile_names import NAMES, SAME
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

PEOPLE_DN = f"ou=people,{BASE_DN}"
NOBODY = f"cn=nobody-has-this-name,{PEOPLE_DN}".encode()
SERVICE = {"bind_dn": SERVICE_DN, "bind_password": SERVICE_PASSWORD}
BASE = {"search_base_dns": [PEOPLE_DN]}

SEARCH_MODES: dict[str, dict[str, Any]] = {
    "service": {**SERVICE, **BASE},
    "service {0}": {**SERVICE, **BASE, "search_filter": "(&(objectClass=person)(uid={0}))"},
    "service, wildcard": {**SERVICE, **BASE, "search_filter": "(|(uid=%s)(mail=%s@example.com))"},
    "service, openldap": {**SERVICE, **BASE, "preset": "openldap"},
    "service, vault": {"binddn": SERVICE_DN, "bindpass": SERVICE_PASSWORD, "userdn": PEOPLE_DN, "userattr": "uid"},
    "anonymous": BASE,
    "anonymous, vault": {"discoverdn": True, "userdn": PEOPLE_DN, "userattr": "uid"},
    "unauthenticated": {"bind_dn": SERVICE_DN, **BASE},
}
DN_MODES: dict[str, dict[str, Any]] = {
    "single": {"bind_dn": f"uid=%s,{PEOPLE_DN}", **BASE},
    "single, Go": {"bind_dn": f"uid={{{{.Username}}}},{PEOPLE_DN}", **BASE},
    "direct": {"user_dn": PEOPLE_DN},
    "direct, template": {"user_dn": f"uid=%s,{PEOPLE_DN}"},
    "direct, vault": {"userdn": PEOPLE_DN, "userattr": "uid"},
    "direct, active_directory": {
        "preset": "active_directory", "user_dn": PEOPLE_DN, "user_attr": "uid", "attributes": {"username": "uid"},
    },
}
OTHER_MODES: dict[str, dict[str, Any]] = {
    "single, domain": {"bind_dn": "EXAMPLE\\%s", **BASE},
    "upn": {"upn_domain": "example.com", **BASE},
    "upn, vault": {"upndomain": "example.com", "userdn": PEOPLE_DN, "enable_samaccountname_login": True},
}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    # bind_anon_dn is OpenLDAP's word for the unauthenticated bind (RFC 4513 5.1.2), which it refuses by itself.
    directory = tmp_path_factory.mktemp("slapd") / "slapd"
    with Slapd.start(COMPANY, directory=directory) as started:
        configuration = directory / "slapd.conf"
        configuration.write_text(f"allow bind_anon_cred bind_anon_dn\n{configuration.read_text()}")
        started.restart()
        yield started


@pytest.fixture
async def relay(slapd: Slapd) -> AsyncIterator[Relay]:
    started = await Relay.start("127.0.0.1", slapd.port)
    yield started
    await started.close()


def at(relay: Relay, settings: dict[str, Any]) -> Any:
    return logins(configured(urls=[f"ldap://127.0.0.1:{relay.port}"], **settings))


# login, password, outcome where people are searched first, outcome where their DN is made of the login
PEOPLE = [
    ("grace", "cobol-1959", Outcome.OK, Outcome.OK),
    ("GRACE", "cobol-1959", Outcome.OK, Outcome.OK),
    ("jürgen", "pä:ss", Outcome.OK, Outcome.OK),
    ("o*(brien)", "transporter", Outcome.OK, Outcome.OK),
    ("bare", "minimum", Outcome.OK, Outcome.OK),
    ("lovelace", "notes,on#engine", Outcome.OK, Outcome.INVALID),  # her DN begins with cn
    ("grace", "wrong", Outcome.INVALID, Outcome.INVALID),
    ("locked", "x", Outcome.INVALID, Outcome.INVALID),
    ("nobody", "x", Outcome.NOT_FOUND, Outcome.INVALID),
    ("grace", "", Outcome.INVALID, Outcome.INVALID),
]


@pytest.mark.parametrize("mode", [*SEARCH_MODES, *DN_MODES])
async def test_people(relay: Relay, mode: str) -> None:
    """grafana.md 2.2, vault.md 4.2: who may log in and what the account is, the same in every mode."""
    settings = SEARCH_MODES.get(mode) or DN_MODES[mode]
    async with at(relay, settings) as directory:
        for login, password, searched, direct in PEOPLE:
            verdict = await directory.verdict(login, password)
            assert verdict.outcome is (searched if mode in SEARCH_MODES else direct), (login, verdict)
            if verdict.outcome is Outcome.OK:
                assert verdict.account is not None
                assert verdict.account.username == login.lower()
                found = r"cn=Lovelace(\\,|\\2C) Ada" if login == "lovelace" else f"uid={re.escape(login)}"
                assert re.fullmatch(f"{found},{PEOPLE_DN}", verdict.account.dn, re.IGNORECASE)


@pytest.mark.parametrize("mode", SEARCH_MODES)
async def test_equal_round_trips(relay: Relay, mode: str) -> None:
    """DECISIONS 5: unknown name, wrong password and ambiguous name cost one search and one bind each."""
    settings = {**SEARCH_MODES[mode]}
    settings["userdn" if "userdn" in settings else "search_base_dns"] = BASE_DN
    async with at(relay, settings) as directory:
        spent = {}
        for login, password in (("grace", "wrong"), ("nobody", "wrong"), ("sam", "stargate"), ("sam", "wrong")):
            verdict = await directory.verdict(login, password)
            assert verdict.outcome in (Outcome.INVALID, Outcome.NOT_FOUND), verdict
            spent[login, password] = (directory.searches, directory.binds)
        assert set(spent.values()) == {(1, 1)}
        await directory.verdict("grace", "")
        assert directory.binds == 0


@pytest.mark.parametrize("mode", [*DN_MODES, *OTHER_MODES])
async def test_one_bind_tells_all(relay: Relay, mode: str) -> None:
    """grafana.md 2.2, single bind: without the password nothing is searched, whatever the name."""
    async with at(relay, DN_MODES.get(mode) or OTHER_MODES[mode]) as directory:
        for login, password in (("grace", "wrong"), ("nobody", "wrong"), ("sam", "falcon")):
            verdict = await directory.verdict(login, password)
            assert verdict.outcome is Outcome.INVALID, verdict
            assert (directory.searches, directory.binds) == (0, 1)


@pytest.mark.parametrize("mode", SEARCH_MODES)
async def test_hostile_names_in_filters(relay: Relay, mode: str) -> None:
    """Acceptance 3: the filter keeps its form, the name is one assertion value, and nobody is let in."""
    async with at(relay, SEARCH_MODES[mode]) as directory:
        relay.sent.clear()
        await directory.verdict("plain", "x")
        (form,) = filters(relay.sent)
        for name in NAMES:
            relay.sent.clear()
            verdict = await directory.verdict(name, "cobol-1959")
            assert verdict.outcome in (Outcome.INVALID, Outcome.NOT_FOUND), (name, verdict)
            if name.isascii() or "\ud800" not in name:
                assert filters(relay.sent) == [_filled(form, name.encode())], name
                assert bound_names(relay.sent) == [NOBODY], name
            else:
                assert relay.sent == b""


def _filled(form: Any, value: bytes) -> Any:
    if isinstance(form, list):
        return [_filled(part, value) for part in form]
    return form.replace(b"plain", value) if isinstance(form, bytes) else form


# RFC 4514 2.4, and all but printable ASCII in hexadecimal; a blank only within
VALUE = rb"(?!\ )(?:[^\0-\x1f\x7f-\xff\"#+,;<>\\]|\\[\"#+,;<>\\ =]|\\[0-9a-f]{2})*"


@pytest.mark.parametrize("mode", DN_MODES)
async def test_hostile_names_in_distinguished_names(relay: Relay, mode: str) -> None:
    """Acceptance 3: the DN keeps its form, the name is one attribute value, and nobody is let in."""
    async with at(relay, DN_MODES[mode]) as directory:
        for name in NAMES:
            relay.sent.clear()
            verdict = await directory.verdict(name, "cobol-1959")
            assert verdict.outcome is Outcome.INVALID, (name, verdict)
            if "\ud800" in name:
                assert relay.sent == b""
                continue
            (bound,) = bound_names(relay.sent)
            value = one_value(bound)
            assert _unescaped(value) == name.encode(), (name, bound)
            assert b"=" not in value.replace(b"\\=", b"") or mode != "direct, active_directory"
            assert filters(relay.sent) == []


_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def one_value(bound: bytes) -> bytes:
    """The escaped login in the DN that was bound, which has no other form than the one configured."""
    found = re.fullmatch(rb"uid=(" + VALUE + rb")," + PEOPLE_DN.encode(), bound)
    assert found, bound
    return found[1]


def _unescaped(value: bytes) -> bytes:
    def octet(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else found[2]

    return re.sub(rb"\\(?:([0-9a-f]{2})|(.))", octet, value)


@pytest.mark.parametrize("mode", OTHER_MODES)
async def test_hostile_names_in_other_names(relay: Relay, mode: str) -> None:
    """vault.md 4.2, grafana.md 2.3: as it is, but for control characters, which never reach the wire."""
    around = (b"EXAMPLE\\", b"") if mode == "single, domain" else (b"", b"@example.com")
    async with at(relay, OTHER_MODES[mode]) as directory:
        for name in NAMES:
            relay.sent.clear()
            verdict = await directory.verdict(name, "cobol-1959")
            assert verdict.outcome is Outcome.INVALID, (name, verdict)
            if "\ud800" in name or _CONTROL.search(name):
                assert relay.sent == b"", name
            else:
                assert bound_names(relay.sent) == [name.encode().join(around)]


@pytest.mark.parametrize("mode", ["service", "service, wildcard", "direct", "single, domain"])
async def test_hostile_names_through_the_door(slapd: Slapd, tmp_path: Path, mode: str) -> None:
    """Acceptance 3: whoever calls gets the answer to a wrong password, never an error; the wire is as clean.

    What the door itself refuses (400: control characters; 401: names beyond all directories), it refuses whoever exists.
    """
    settings = (SEARCH_MODES | DN_MODES | OTHER_MODES)[mode]
    async with watched(tmp_path, slapd.host, slapd.port, settings) as gateway:
        same, _ = await gateway.login("plain", "x")
        form = filters(gateway.sent)
        for name in NAMES:
            answer, seen = await gateway.login(name, "cobol-1959")
            controls = _CONTROL.search(name.partition(":")[0])
            if controls or len(name) > 1024:
                assert (answer.status, seen) == (400 if controls else 401, []), name
                continue
            assert outward(answer) == outward(same), name
            typed = name.partition(":")[0].encode("utf-8", "surrogatepass")  # RFC 7617 section 2: no colon in a name
            if "\ud800" in name:
                typed = typed.decode("latin-1").encode()  # clearml.md 2: what is no UTF-8 is Latin-1
            assert filters(gateway.sent) in ([], _filled(form, typed)), name
            if mode == "direct":
                assert all(_unescaped(one_value(bound)) == typed for bound in bound_names(gateway.sent)), name
            elif form:
                assert set(bound_names(gateway.sent)) <= {NOBODY}, name
        assert (await gateway.login("grace", "cobol-1959"))[0].status == (401 if mode == "single, domain" else 200)


@pytest.mark.parametrize("mode", [*SEARCH_MODES, *DN_MODES])
async def test_names_that_are_the_same_to_a_directory(relay: Relay, mode: str) -> None:
    """RFC 4518: they are grace, and nobody else; what the directory stores is the name from there on (DECISIONS 10)."""
    async with at(relay, SEARCH_MODES.get(mode) or DN_MODES[mode]) as directory:
        for name in SAME:
            verdict = await directory.verdict(name, "cobol-1959")
            if verdict.outcome is Outcome.OK:
                assert verdict.account is not None
                assert (verdict.account.username, verdict.account.dn) == ("grace", f"uid=grace,{PEOPLE_DN}"), name
            else:
                assert verdict.outcome in (Outcome.INVALID, Outcome.NOT_FOUND), (name, verdict)


async def test_other_names_of_the_attribute(relay: Relay) -> None:
    """RFC 4519 2.39: ``userid`` is ``uid``; the entry under the own name is the own one, however it is spelled."""
    async with at(relay, {"user_dn": PEOPLE_DN, "user_attr": "userid"}) as directory:
        verdict = await directory.verdict("Grace", "cobol-1959")
        assert verdict.account is not None
        assert (verdict.account.username, verdict.account.dn) == ("grace", f"uid=grace,{PEOPLE_DN}")


@pytest.mark.parametrize("settings", [{"preset": "vault"}, {"starttls": False}])
async def test_a_server_that_is_not_complete(relay: Relay, settings: dict[str, Any]) -> None:
    """vault.md 4.2: an empty ``userdn`` is refused, instead of a DN that ends in a comma; nothing is sent."""
    async with at(relay, settings) as directory:
        relay.sent.clear()
        verdict = await directory.verdict("grace", "cobol-1959")
        assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "user_dn is not set")
        assert relay.sent == b""


async def test_people_who_may_not_read_themselves(tmp_path: Path) -> None:
    """vault.md 4: in construct mode Vault never reads the entry, so that must not be needed here."""
    with Slapd.start(COMPANY, directory=tmp_path / "slapd", anonymous="auth") as slapd:
        file = slapd.directory / "slapd.conf"
        file.write_text(file.read_text().replace("access to * by users read", "access to * by users auth"))
        slapd.restart()
        async with logins(configured(urls=[slapd.url], user_dn=PEOPLE_DN)) as directory:
            verdict = await directory.verdict("grace", "cobol-1959")
            assert verdict.account is not None, verdict
            dn = f"uid=grace,{PEOPLE_DN}"
            assert (verdict.account.username, verdict.account.dn, verdict.account.external_id) == ("grace", dn, dn)
            assert (await directory.verdict("grace", "wrong")).outcome is Outcome.INVALID


@pytest.mark.parametrize("settings", [DN_MODES["direct"], {**SEARCH_MODES["service"], "recheck": "none"}], ids=["direct", "service"])
def test_renewal_prolongs_nothing(slapd: Slapd, tmp_path: Path, settings: dict[str, Any]) -> None:
    """DECISIONS 11: where nobody is looked up again, a token ends when the first one would have."""
    variables = {"CLEARML__servers": json.dumps([{"name": "corp", "urls": [slapd.url], **settings}])}
    with running(tmp_path, environment=variables) as daemon:
        token = daemon.token("alan", "enigma")
        renewed = daemon.call("/auth.login?expiration_sec=31536000", bearer=token).data["token"]
        first, second = (jwt.decode(text, options={"verify_signature": False})["exp"] for text in (token, renewed))
        assert second <= first


def test_there_are_enough_names() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 60
