"""The doctor before real directories, well and ill: what it marks, what it advises, and that it always ends."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config.load import load
from gateway.directory.doctor.examination import examine
from gateway.directory.doctor.report import Step
from gateway.explain.login import explain_login
from tests.directories.ds389 import Ds389
from tests.directories.process import free_port
from tests.directories.relay import Relay
from tests.directories.samba import Samba, dn_of, password_of
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.directory.small_directory import Answer, Search, SmallDirectory

PEOPLE_DN, GROUPS_DN = f"ou=people,{BASE_DN}", f"ou=groups,{BASE_DN}"
BY_MEMBER = {"group_search_filter": "(member=%s)", "group_search_filter_user_attribute": "dn",
             "group_search_base_dns": [GROUPS_DN]}  # fmt: skip
ENDS_WITHIN = 60.0
"""Seconds, generous: an examination of a silent directory takes some 2."""
SHORT = {"timeout": 0.4, "request_timeout": 0.4}
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("doctor") / "slapd", tls=True) as started:
        yield started


@pytest.fixture(scope="module")
def ill_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("doctor") / "ill", tls=True) as started:
        yield started


async def examined(settings: dict[str, Any], user: str = "", password: str = "", **variables: str) -> list[Step]:
    """The steps for one server, none of which may hold a secret or a control character."""
    server = {"timeout": 10, "request_timeout": 10, **settings}
    snapshot = load([], {"CLEARML__servers": json.dumps([server]), **variables})
    async with asyncio.timeout(ENDS_WITHIN):
        report = await examine(snapshot.configuration.servers[0], snapshot, user, password)
    written = json.dumps(report.as_json(), ensure_ascii=False)
    assert not password or password not in written
    assert not settings.get("bind_password") or settings["bind_password"] not in written
    assert written.isprintable()
    assert all(step.advice for step in report.steps if step.mark == "fail")
    return report.steps


def marks(steps: Sequence[Step], mark: str) -> list[tuple[str, str]]:
    return [(step.step, step.text) for step in steps if step.mark == mark]


def find(steps: Sequence[Step], name: str, mark: str, text: str = "") -> Step:
    found = [step for step in steps if (step.step, step.mark) == (name, mark) and text in step.text]
    assert found, f"no {mark} {name} with {text!r} in {steps}"
    return found[0]


# Well


@pytest.mark.parametrize("transport", ["plain", "StartTLS", "LDAPS"])
@pytest.mark.parametrize("user", ["", "alan"])
async def test_a_slapd_that_is_well(slapd: Slapd, transport: str, user: str) -> None:
    safe = {"root_ca_cert": [str(slapd.ca_file)]}
    settings = {"plain": {}, "StartTLS": {"start_tls": True, **safe}, "LDAPS": {"urls": [slapd.ldaps_url], **safe}}
    steps = await examined(slapd.server(**settings[transport]), user)
    assert not marks(steps, "fail")
    # make_certificates gives thirty days; and transports differ in nothing else
    assert [name for name, _ in marks(steps, "warn")] == ([] if transport == "plain" else ["certificate"])
    assert find(steps, "bind", "ok").text == f"as {SERVICE_DN}"
    assert find(steps, "preset", "ok").text == "the preset that fits is openldap"
    agreed = find(steps, "second opinion", "ok").text
    assert agreed == "ldap3 agrees on the bind, naming contexts, attributes, 3 of 3 searches"
    if transport != "plain":
        assert find(steps, "tls", "ok", "TLSv1.3 TLS_AES")
    if user:
        assert find(steps, "person", "ok", "username alan, name Alan Turing, e-mail alan@example.com")
        assert "developers" in find(steps, "groups", "ok").text
    timed = {"connect", "bind", "root dse", "schema", "base", "search", "person", "groups", "second opinion"}
    assert all(step.milliseconds is not None for step in steps if step.step in timed and step.mark == "ok")


async def test_a_domain_of_active_directory(samba: Samba) -> None:
    settings = samba.server(preset="active_directory", urls=[samba.ldaps_url], root_ca_cert=[str(samba.ca_file)])
    steps = await examined(settings, "ada")
    assert not marks(steps, "fail")
    assert not [step for step in steps if step.step == "preset"]
    assert "s " in find(steps, "clock", "ok").text
    assert "sAMAccountName" in find(steps, "schema", "ok").text
    assert "Domain Users" in find(steps, "groups", "ok").text  # the primary group
    assert find(steps, "second opinion", "ok", "naming contexts, attributes, 3 of 3 searches")


async def test_a_domain_asked_as_nobody(samba: Samba) -> None:
    steps = await examined(samba.server(bind_dn="", bind_password=""))
    assert find(steps, "base", "fail", "1 operationsError").key == "servers.corp.bind_dn"
    assert find(steps, "preset", "ok", "active_directory").key == "servers.corp.preset"


async def test_389_directory_server(ds389: Ds389) -> None:
    steps = await examined(ds389.server(), "ada")
    assert not marks(steps, "fail")
    assert find(steps, "preset", "ok", "389ds")
    assert find(steps, "groups", "ok").text == '2: "admins", "everyone"'
    assert find(steps, "person", "ok")
    assert find(steps, "second opinion", "ok", "3 of 3 searches")
    barred = await examined(ds389.server(preset="389ds"), "disabled")
    assert find(barred, "person", "warn", "cannot log in")


@pytest.mark.parametrize(
    "settings",
    [
        {"bind_dn": f"uid=%s,{PEOPLE_DN}", "bind_password": ""},
        {"bind_dn": "", "bind_password": "", "upn_domain": "example.com"},
        {"bind_dn": "", "bind_password": "", "user_dn": PEOPLE_DN, "search_base_dns": []},
    ],
)
async def test_without_a_service_account(slapd: Slapd, settings: dict[str, object]) -> None:
    """Only what nobody in particular may read is looked at (grafana.md 2.2, vault.md 4.2)."""
    steps = await examined(slapd.server(**settings))
    assert not marks(steps, "fail")
    assert {name for name, _ in marks(steps, "skipped")} >= {"bind", "search"}
    assert find(steps, "second opinion", "ok", "naming contexts")


# Wrong settings

WRONG: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"bind_password": "wrong-one"}, "bind", "fail", "49 invalidCredentials", "bind_password"),
    ({"bind_dn": "no name at all"}, "bind", "fail", "34 invalidDNSyntax", "bind_dn"),
    ({"bind_dn": SERVICE_DN, "bind_password": ""}, "bind", "fail", "53 unwillingToPerform", "bind_dn"),
    ({"search_base_dns": [f"ou=typo,{BASE_DN}"]}, "base", "fail", f"above it there is {BASE_DN}", "search_base_dns"),
    ({**BY_MEMBER, "group_search_base_dns": ["ou=typo"]}, "base", "fail", "no such entry", "group_search_base_dns"),
    ({"search_filter": "(objectClass=*)"}, "search", "fail", "finds entries", "search_filter"),
    ({"search_filter": "(uidd=%s)"}, "schema", "warn", "no attribute uidd", "search_filter"),
    ({"search_filter": "(&(uid=%s)(uid=x))"}, "person", "fail", "but (uid=x) of search_filter excludes it", "search_filter"),
    ({"search_filter": "(&(objectClas=person)(uid=%s))"}, "person", "fail", "but (objectClas=person) of", "search_filter"),
    ({"search_filter": "(&(objectClass=persn)(uid=%s))"}, "schema", "warn", "no object class persn in the schema", "search_filter"),
    ({"preset": "active_directory"}, "person", "fail", "nothing below", "preset"),
    ({"preset": "active_directory", "search_filter": "(uidd=%s)"}, "person", "fail", "nothing below", "search_filter"),
    ({"search_base_dns": [GROUPS_DN]}, "person", "fail", "but there is", "search_base_dns"),
    ({"search_base_dns": ["ou=people,dc=exmple,dc=com"]}, "base", "fail", f"did you mean {PEOPLE_DN}?", "search_base_dns"),
    ({"search_filter": "(&(sn=*)(mail=%s))"}, "person", "warn", "does not find people by uid", "search_filter"),
    ({"group_mappings": [{"group_dn": f"cn=admins,ou=group,{BASE_DN}", "admin": True}]},
     "mappings", "warn", f"above it there is {BASE_DN}", "group_mappings.0.group_dn"),
    ({"group_mappings": [{"group_dn": f"cn=admins, {GROUPS_DN}", "admin": True}]},
     "mappings", "warn", f"the directory writes it as cn=admins,{GROUPS_DN}", "group_mappings.0.group_dn"),
    ({"bind_dn": "", "bind_password": "", "search_base_dns": [f"ou=typo,{BASE_DN}"]}, "base", "fail", "no such entry", "bind_dn"),
    ({"attributes": {"username": "carLicense"}, "search_filter": "(uid=%s)"}, "person", "warn", "has no carLicense: the name as typed is used", "attributes.username"),
    ({"attributes": {"member_of": "memberOff"}}, "schema", "warn", "no attribute memberOff", "attributes.member_of"),
    ({"attributes": {"member_of": "seeAlso"}}, "groups", "warn", "nobody has seeAlso", "attributes.member_of"),
    ({"preset": "active_directory"}, "preset", "warn", "the preset that fits is openldap", "preset"),
    ({"urls": ["ldap://no-such-host.invalid"]}, "configuration", "warn", "in clear text", "urls"),
    ({"urls": ["ldap://no-such-host.invalid"]}, "name", "fail", "cannot be resolved", "urls"),
    ({"ssl_skip_verify": True}, "configuration", "warn", "is not checked", "ssl_skip_verify"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "name", "mark", "text", "key"), WRONG, ids=lambda value: str(value)[:40])
async def test_what_is_wrong_and_where_it_is_written(
    slapd: Slapd, changes: dict[str, Any], name: str, mark: str, text: str, key: str
) -> None:
    step = find(await examined(slapd.server(**changes)), name, mark, text)
    assert step.key == f"servers.corp.{key}"
    written = key.partition(".")[0] in {**slapd.server(), **changes}
    assert step.origin == ("CLEARML__servers" if written else "default")
    assert step.advice or name == "configuration"


@pytest.mark.parametrize(
    ("user", "name", "mark", "text"),
    [
        ("nobody-here", "person", "fail", "is not found"),
        ("*", "person", "fail", "is not found"),
        ("a" * 5000, "person", "fail", "is not found"),
        ("\0\x1b[31m", "person", "fail", "is not found"),
        ("sam", "groups", "warn", "in no group"),
    ],
)
async def test_people_who_are_named(slapd: Slapd, user: str, name: str, mark: str, text: str) -> None:
    assert find(await examined(slapd.server(**BY_MEMBER), user), name, mark, text)


WHY = [
    # settings, typed, the text, the advice
    ({"search_filter": "(&(objectClass=posixGroup)(uid=%s))"}, "alan", "(objectClass=posixGroup) of search_filter excludes it", "mend or remove"),
    ({"search_filter": "(&(objectClass=inetOrgPerson)(uid=%s))"}, "nobody-here", "search_filter finds others, such as", "check the name"),
    ({"search_filter": "(&(objectClass=inetOrgPerson)(uid=%s))"}, "EXAMPLE\\alan", "but nothing with this name", "log in as alan"),
    ({"search_base_dns": [f"ou=contractors,{BASE_DN}"]}, "alan", "search_filter finds others", f"there is uid=alan,{PEOPLE_DN}"),
    ({"search_base_dns": [GROUPS_DN]}, "alan", f"nothing below {GROUPS_DN} fits (uid=alan), but there is uid=alan,{PEOPLE_DN}", "check search_base_dns"),
    ({"search_filter": "(&(objectClass=inetOrgPerson)(!(uid=alan))(uid=%s))"}, "alan", "but (!(uid=alan)) of search_filter excludes it", "mend"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "typed", "text", "advice"), WHY, ids=lambda value: str(value)[:40])
async def test_why_somebody_is_not_found(
    slapd: Slapd, settings: dict[str, Any], typed: str, text: str, advice: str
) -> None:
    step = find(await examined(slapd.server(**settings), typed), "person", "fail", "is not found: ")
    assert text in step.text
    assert advice in step.advice


async def test_an_entry_without_a_name(slapd: Slapd) -> None:
    """The schema knows the attribute; the entry has none, and each spelling typed is somebody else then."""
    settings = slapd.server(attributes={"username": "carLicense"}, search_filter="(uid=%s)")
    steps = await examined(settings, "alan")
    step = find(steps, "person", "warn", f"uid=alan,{PEOPLE_DN} has no carLicense: the name as typed is used")
    assert step.key == "servers.corp.attributes.username"


async def test_a_domain_with_defaults_for_others(samba: Samba) -> None:
    """The presets differ, and that matters: entries there have no uid."""
    plain = {key: value for key, value in samba.server(preset="custom").items() if key not in ("attributes", "search_filter")}
    found = await examined({**plain, "search_filter": "(sAMAccountName=%s)"}, "ada")
    assert find(found, "preset", "warn", "active_directory")
    assert find(found, "person", "warn", "has no uid: the name as typed is used").key == "servers.corp.preset"
    missing = find(await examined(plain, "ada"), "person", "fail", "is not found")
    assert (missing.key, 'set preset = "active_directory"' in missing.advice) == ("servers.corp.preset", True)


async def test_a_preset_beside_an_ldap_toml(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 1: that file stays as Grafana reads it."""
    (tmp_path / "ldap.toml").write_text(
        f'[[servers]]\nhost = "127.0.0.1"\nport = {slapd.port}\nsearch_filter = "(uid=%s)"\nsearch_base_dns = ["{PEOPLE_DN}"]\n'
    )
    snapshot = load([tmp_path / "ldap.toml"], {})
    report = await examine(snapshot.configuration.servers[0], snapshot)
    further = 'set preset = "openldap" in a further file: servers = [{ name = "ldap", preset = "openldap" }]; it gives '
    assert find(report.steps, "preset", "warn").advice.startswith(further)
    assert find(report.steps, "person", "warn", "attributes.username is not set: the name as typed is used")
    assert find(await examined(slapd.server()), "preset", "ok").advice.startswith('set preset = "openldap"; it gives ')


async def test_a_service_account_that_is_barred(samba: Samba) -> None:
    """[MS-ADTS] 5.1.1.1.1: data 533. A login, and so explain and the log of a daemon, says the same."""
    settings = samba.server(bind_dn=dn_of("disabled"), bind_password=password_of("disabled"))
    assert "the account is disabled" in find(await examined(settings), "bind", "fail", "data 533").advice
    explanation = await explain_login(load([], {"CLEARML__servers": json.dumps([settings])}), "ada")
    assert "; the account is disabled (data 533): mend that account" in explanation.verdict


async def test_who_is_barred_is_marked_once(samba: Samba) -> None:
    settings = samba.server(preset="active_directory")
    (step,) = [step for step in await examined(settings, "disabled") if step.step == "person"]
    assert (step.mark, step.text.startswith("cannot log in: the account is disabled")) == ("warn", True)


async def test_a_wrong_group_base_is_named_once(slapd: Slapd) -> None:
    steps = await examined(slapd.server(**{**BY_MEMBER, "group_search_base_dns": [f"ou=typo,{BASE_DN}"]}), "alan")
    assert [name for name, _ in marks(steps, "fail")] == ["base"]
    assert find(steps, "groups", "skipped", "a base of theirs is not there")


async def test_groups_of_mappings(slapd: Slapd) -> None:
    """Those that are there are counted; what is no DN is not looked for."""
    names = [f"cn=admins,{GROUPS_DN}", f"CN=Developers,{GROUPS_DN}", "*", "admins", "no-group.invalid"]
    steps = await examined(slapd.server(group_mappings=[{"group_dn": name, "admin": True} for name in names]))
    assert find(steps, "mappings", "ok").text == "2 groups that group_mappings name are there"


SINGLE = {"bind_dn": f"uid=%s,{PEOPLE_DN}", "bind_password": ""}
BY_CN = {"group_search_filter": "(memberUid=%s)", "group_search_base_dns": [GROUPS_DN]}
SERVICE = "CLEARML__conjur__services__corp__allow"
# settings, allow, what is wrong with which of its entries (conjur.md 5: who is in the list, DECISIONS 9: names of groups)
ALLOWED: list[tuple[dict[str, Any], list[str], dict[str, str]]] = [
    ({}, ["group:developers", "group:corp/Developers", f"group:CN=Developers, {GROUPS_DN}", "user:ALAN", "user:corp/alan",
          "user:o*(brien)", f"group:corp/cn=all staff,{GROUPS_DN}", "group:build"], {}),
    ({}, ["group:develpers", "group:developers"], {"group:develpers": f"no group of this name below {BASE_DN}"}),
    ({}, ["group:Alan Turing"], {"group:Alan Turing": "no group of this name"}),  # a person is called so
    ({}, ["group:*"], {"group:*": "no group of this name"}),
    ({}, ["user:%s"], {"user:%s": f"nobody has this name below {PEOPLE_DN}"}),
    ({}, ["user:nobody"], {"user:nobody": f"nobody has this name below {PEOPLE_DN}"}),
    ({}, [f"group:cn=developers,ou=group,{BASE_DN}"],
     {f"group:cn=developers,ou=group,{BASE_DN}": f"there is no such entry, or it may not be seen; above it there is {BASE_DN}"}),
    ({"group_search_base_dns": [f"ou=projects,{BASE_DN}"]}, ["group:developers", "group:admins"],
     {"group:developers": f"no group of this name below ou=projects,{BASE_DN}"}),
    (BY_CN, ["group:operators", "group:operator"], {"group:operator": f"no group of this name below {GROUPS_DN}"}),
    (SINGLE, ["group:develpers", "user:alan", "user:alen"], {"group:develpers": "no group", "user:alen": "nobody has"}),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "allow", "wrong"), ALLOWED, ids=range(len(ALLOWED)))
async def test_who_is_let_in_by_a_service_of_conjur(
    slapd: Slapd, settings: dict[str, Any], allow: list[str], wrong: dict[str, str]
) -> None:
    user, password = ("alan", "enigma") if settings is SINGLE else ("", "")
    steps = await examined(slapd.server(**settings), user, password, **{SERVICE: json.dumps(allow)})
    found = [step for step in steps if step.step == "conjur"]
    if not wrong:
        assert [(step.mark, step.text) for step in found] == [
            ("ok", f"{len(allow)} people and groups that conjur.services.corp.allow names are there")
        ]
    else:
        assert [(step.mark, step.subject) for step in found] == [("warn", entry) for entry in wrong]
        assert all(step.text.startswith(text) for step, text in zip(found, wrong.values(), strict=True)), found
        assert {(step.key, step.origin) for step in found} == {("conjur.services.corp.allow", SERVICE)}


async def test_a_service_for_all_names_nobody(slapd: Slapd) -> None:
    steps = await examined(slapd.server(), **{SERVICE: "all"})
    assert not [step for step in steps if step.step == "conjur"]


async def test_many_mappings_are_bounded(slapd: Slapd) -> None:
    relay = await Relay.start(slapd.host, slapd.port)
    mappings = [{"group_dn": f"cn=g{number},{GROUPS_DN}", "admin": True} for number in range(250)]
    try:
        settings = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], group_mappings=mappings)
        steps = await examined(settings)
    finally:
        await relay.close()
    assert len([step for step in steps if step.step == "mappings"]) == 200
    assert b"cn=g199," in relay.sent and b"cn=g200," not in relay.sent


async def test_both_keys_of_a_refused_service_are_placed(slapd: Slapd) -> None:
    step = find(await examined(slapd.server(bind_password="wrong-one")), "bind", "fail", "49")
    assert "check bind_dn (CLEARML__servers) and bind_password" in step.advice


async def test_a_fallback_that_nobody_wrote(samba: Samba, tmp_path: Path) -> None:
    """ClearML's own keys try two attributes for the address; one is enough, unless somebody wrote the other."""
    provider, secure = "apiserver__auth__fixed_user_providers__ldap", "secure__fixed_user_providers__ldap"
    service = samba.server()
    variables = {
        f"CLEARML__{provider}__server": samba.url, f"CLEARML__{provider}__base_dn": "DC=ad,DC=example,DC=org",
        f"CLEARML__{secure}__dn": str(service["bind_dn"]), f"CLEARML__{secure}__password": str(service["bind_password"]),
    }  # fmt: skip
    for more, warned in (({}, False), ({"CLEARML__servers__ldap__attributes__email": "mail email"}, True)):
        snapshot = load([], {**variables, **more}, working_directory=tmp_path)
        report = await examine(snapshot.configuration.servers[0], snapshot)
        assert find(report.steps, "schema", "ok", "mail")
        assert bool([step for step in report.steps if "no attribute email " in step.text]) is warned


# Where people bind as themselves

THEMSELVES: list[dict[str, Any]] = [
    {"bind_dn": f"uid=%s,{PEOPLE_DN}", "bind_password": ""},
    {"bind_dn": "", "bind_password": "", "user_dn": PEOPLE_DN},
]


@pytest.mark.parametrize("settings", THEMSELVES)
async def test_people_who_are_searched_as_themselves(slapd: Slapd, settings: dict[str, Any]) -> None:
    """grafana.md 2.2, vault.md 4.2: all that a service would see, seen as the person."""
    relay = await Relay.start(slapd.host, slapd.port)
    try:
        server = slapd.server(**{"urls": [f"ldap://127.0.0.1:{relay.port}"], **settings})
        steps = await examined(server, "alan", "enigma")
        assert not marks(steps, "fail") and not marks(steps, "warn")
        assert find(steps, "person", "ok", "username alan")
        assert find(steps, "login", "ok", "lets in alan")
        before = relay.sent.count(b"planted-wrong")
        refused = await examined(server, "alan", "planted-wrong")
        assert relay.sent.count(b"planted-wrong") == before + 1
    finally:
        await relay.close()
    step = find(refused, "password", "fail", "wrong password or name: bind refused: 49")
    assert step.key in ("servers.corp.bind_dn", "servers.corp.user_dn")
    assert find(refused, "root dse", "ok")


async def test_the_password_of_who_is_found_first(slapd: Slapd) -> None:
    assert find(await examined(slapd.server(), "alan", "enigma"), "login", "ok")
    assert find(await examined(slapd.server(), "alan", "planted-wrong"), "login", "fail", "wrong password: bind refused: 49")
    missing = await examined(slapd.server(), "nobody-here", "planted-wrong")
    assert [name for name, _ in marks(missing, "fail")] == ["person"]


async def test_a_domain_that_is_asked_as_its_people(samba: Samba) -> None:
    """Active Directory shows nobody in particular its schema; there is no bind_dn to be set for that."""
    settings = samba.server(preset="active_directory", bind_dn="", bind_password="", upn_domain="ad.example.org")
    without = await examined(settings)
    assert "bind_dn" not in find(without, "schema", "skipped").text
    assert find(without, "person", "warn", "nothing about people was examined")
    entered = await examined(settings, "ada", "Lovelace-1815")
    assert not marks(entered, "fail")
    assert find(entered, "schema", "ok") and find(entered, "login", "ok")


async def test_groups_without_a_name(slapd: Slapd) -> None:
    """DECISIONS 9: values of memberOf outside group_search_base_dns give no name."""
    steps = await examined(slapd.server(group_search_base_dns=[f"ou=contractors,{BASE_DN}"]), "alan")
    assert find(steps, "groups", "warn", "have no name").key == "servers.corp.group_search_base_dns"


async def test_an_ambiguous_name(slapd: Slapd) -> None:
    """DECISIONS 4."""
    steps = await examined(slapd.server(search_filter="(|(uid=%s)(uid=grace))"), "alan")
    assert find(steps, "person", "fail", "2 entries")


# Certificates


def put_certificate(slapd: Slapd, *, names: Sequence[str] = ("localhost",), ends: timedelta = 365 * DAY) -> str:
    """A certificate that signs itself in place of slapd's own; its SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "\x1b[31mEvil\u202e")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 400 * DAY)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([general_name(text) for text in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (slapd.directory / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (slapd.directory / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made.fingerprint(hashes.SHA256()).hex(":").upper()


def general_name(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)


CERTIFICATES: list[tuple[dict[str, Any], bool, list[str]]] = [
    # what the certificate is like, whether it is in root_ca_cert, the failures
    ({}, True, []),
    ({}, False, ["not signed by an authority"]),
    ({"ends": -DAY}, True, ["expired on"]),
    ({"ends": -DAY}, False, ["expired on", "not signed by an authority"]),
    ({"names": ["other.example.com"]}, True, ["it is for other.example.com, not for localhost"]),
    ({"names": ["other.example.com"], "ends": -DAY}, False, ["expired", "it is for other", "not signed by"]),
]


@pytest.mark.parametrize("transport", ["LDAPS", "StartTLS"])
@pytest.mark.parametrize(("made", "trusted", "failures"), CERTIFICATES)
async def test_certificates(
    ill_slapd: Slapd, transport: str, made: dict[str, Any], trusted: bool, failures: list[str]
) -> None:
    fingerprint = put_certificate(ill_slapd, **made)
    ill_slapd.restart()
    own = {"root_ca_cert": [f"{ill_slapd.directory}/server.pem"]} if trusted else {}
    with_start_tls = {"urls": [f"ldap://localhost:{ill_slapd.port}"], "start_tls": True}
    server = ill_slapd.server(**({"urls": [ill_slapd.ldaps_url]} if transport == "LDAPS" else with_start_tls), **own)
    steps = await examined(server)
    found = [text for name, text in marks(steps, "fail") if name == "certificate"]
    assert len(found) == len(failures)
    assert all(text.startswith(start) for text, start in zip(found, failures, strict=True))
    assert r"\x1b[31mEvil\u202e" in next(step for step in steps if step.step == "certificate").text
    assert not failures or not [step for step in steps if (step.step, step.mark) == ("certificate", "ok")]
    if not failures:
        assert not marks(steps, "fail")
        return
    assert find(steps, "tls", "fail", "certificate refused")
    assert find(steps, "bind", "skipped")
    if not trusted:
        advice = find(steps, "certificate", "fail", "not signed")
        assert advice.key == "servers.corp.root_ca_cert"
        assert fingerprint in advice.advice


async def test_another_authority(slapd: Slapd, ill_slapd: Slapd) -> None:
    """What root_ca_cert holds is named, also where it only has the other one's name."""
    other = find(await examined(slapd.server(urls=[slapd.ldaps_url], root_ca_cert=[str(ill_slapd.ca_file)])), "certificate", "fail")
    assert other.text.startswith("root_ca_cert holds CN=Test CA; the server's is signed by another authority, another CN=Test CA")
    assert (other.key, other.origin) == ("servers.corp.root_ca_cert", "CLEARML__servers")


@pytest.mark.parametrize(("settings", "name", "key"), [({}, "bind", "urls"), ({"start_tls": True}, "tls", "urls")])
async def test_a_port_of_ldaps_asked_in_clear(slapd: Slapd, settings: dict[str, Any], name: str, key: str) -> None:
    """Proved by a handshake, in which nothing is sent."""
    settings = {**settings, "urls": [slapd.ldaps_url.replace("ldaps:", "ldap:")]}
    step = find(await examined(slapd.server(**settings)), name, "fail", "this port speaks TLS from the first octet")
    assert step.key == f"servers.corp.{key}" and "ldaps://" in step.advice
    by_port = {"urls": [], "host": "localhost", "port": slapd.ldaps_port}
    step = find(await examined(slapd.server(**by_port)), "bind", "fail", "this port speaks TLS from the first octet")
    assert (step.key, step.advice) == ("servers.corp.use_ssl", "set use_ssl")


async def test_no_password_goes_to_whom_the_settings_do_not_trust(slapd: Slapd) -> None:
    relay = await Relay.start(slapd.host, slapd.port)
    try:
        steps = await examined(slapd.server(urls=[f"ldap://localhost:{relay.port}"], start_tls=True))
        assert find(steps, "certificate", "fail", "not signed")
        assert relay.connections == 2  # with verification, and without
        assert SERVICE_PASSWORD.encode() not in relay.sent
        assert SERVICE_DN.encode() not in relay.sent
    finally:
        await relay.close()


async def test_the_authority_that_signed_is_shown(slapd: Slapd) -> None:
    """The fingerprint is that of the chain's last certificate, which slapd sends along."""
    steps = await examined(slapd.server(urls=[slapd.ldaps_url]))
    der = ssl.PEM_cert_to_DER_cert(slapd.ca_file.read_text())
    authority = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex(":").upper()
    advice = find(steps, "certificate", "fail", "not signed").advice
    assert authority in advice
    assert "CN=Test CA" in advice


# Faults


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A port that accepts, and says nothing."""
    writers = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("settings", "scheme", "name", "text"),
    [
        ({}, "ldap", "bind", "no answer within request_timeout (0.4 s)"),
        ({"start_tls": True}, "ldap", "tls", "the directory is silent: no TLS within timeout (0.4 s)"),
        ({}, "ldaps", "tls", "the directory is silent"),
        ({"bind_dn": f"uid=%s,{PEOPLE_DN}", "bind_password": ""}, "ldap", "bind", "no answer within request_timeout (0.4 s)"),
    ],
)
async def test_a_silent_port(slapd: Slapd, settings: dict[str, Any], scheme: str, name: str, text: str) -> None:
    async with silent() as port:
        steps = await examined(slapd.server(urls=[f"{scheme}://127.0.0.1:{port}"], **SHORT, **settings))
    assert find(steps, "connect", "ok")
    assert find(steps, name, "fail", text).advice


@pytest.mark.parametrize("spoiled", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0\x84\xff\xff\xff\xff", b"0\x03\x02\x01\x01", b""])
@pytest.mark.parametrize("start_tls", [False, True])
async def test_a_port_that_speaks_something_else(slapd: Slapd, spoiled: bytes, start_tls: bool) -> None:
    relay = await Relay.start(slapd.host, slapd.port)
    relay.spoil = lambda _: spoiled
    try:
        steps = await examined(slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], start_tls=start_tls, **SHORT))
        assert find(steps, "tls" if start_tls else "bind", "fail").advice
    finally:
        await relay.close()


async def test_octets_behind_the_answer_to_start_tls(slapd: Slapd) -> None:
    """RFC 4511 4.14.1: whoever stands between could have put them there."""
    relay = await Relay.start(slapd.host, slapd.port)
    relay.spoil = lambda answer: answer * 2
    try:
        settings = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], start_tls=True, root_ca_cert=[str(slapd.ca_file)])
        assert find(await examined(settings), "tls", "fail", "octets in clear")
    finally:
        await relay.close()


async def test_no_start_tls_to_be_had(tmp_path: Path) -> None:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as plain:
        refused = await examined(plain.server(start_tls=True))
        assert find(refused, "tls", "fail", "StartTLS refused").key == "servers.corp.start_tls"


async def test_every_host_is_looked_at(slapd: Slapd) -> None:
    dead = f"ldap://127.0.0.1:{free_port()}"
    steps = await examined(slapd.server(urls=[dead, slapd.url, "ldap://no-such-host.invalid", slapd.url]))
    assert find(steps, "connect", "fail").key == "servers.corp.urls"
    assert find(steps, "name", "fail", "cannot be resolved")
    assert len([step for step in steps if (step.step, step.mark) == ("bind", "ok")]) == 2
    assert find(steps, "second opinion", "ok", "3 of 3 searches")


async def test_every_address_of_a_host_is_looked_at(slapd: Slapd) -> None:
    """A name with an address that is dead still works, and costs time: a warning."""
    found = {str(address[4][0]) for address in socket.getaddrinfo("localhost", slapd.port, type=socket.SOCK_STREAM)}
    steps = await examined(slapd.server(urls=[f"ldap://localhost:{slapd.port}"]))
    assert len([step for step in steps if step.step == "connect"]) == len(found)
    assert {step.mark for step in steps if step.step == "connect"} == ({"ok"} if len(found) == 1 else {"ok", "warn"})
    assert not marks(steps, "fail")


async def test_a_refused_service_is_not_tried_at_every_host(slapd: Slapd) -> None:
    """Each attempt counts towards the lockout of the account; ldap3's is the second and last."""
    relay = await Relay.start(slapd.host, slapd.port)
    url = f"ldap://127.0.0.1:{relay.port}"
    try:
        steps = await examined(slapd.server(urls=[url, url, url], bind_password="wrong-one"))
        assert relay.sent.count(b"wrong-one") == 2
        assert find(steps, "second opinion", "ok", "refused too")
    finally:
        await relay.close()


# What no real directory can be made to do


def root_dse(search: Search, **attributes: list[bytes]) -> Answer | None:
    if search.base == "":
        return Answer([("", {"namingContexts": [b"dc=x"], "supportedLDAPVersion": [b"3"], **attributes})])
    return None


async def small(answer: Any, **settings: object) -> list[Step]:
    directory = await SmallDirectory.start(answer)
    server = {"name": "corp", "urls": [f"ldap://127.0.0.1:{directory.port}"], "search_base_dns": ["dc=x"], **settings}
    try:
        return await examined(server, "ada")
    finally:
        await directory.close()


@pytest.mark.parametrize(("seconds", "mark"), [(0, "ok"), (290, "ok"), (-400, "warn"), (86_400, "warn")])
async def test_the_clocks_differ(seconds: int, mark: str) -> None:
    def answer(search: Search) -> Answer:
        told = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y%m%d%H%M%S.0Z")
        return root_dse(search, currentTime=[told.encode()]) or Answer()

    assert find(await small(answer), "clock", mark)


async def test_a_second_opinion_that_differs() -> None:
    """As behind a balancer whose directories do not hold the same."""
    theirs: set[int] = set()

    def answer(search: Search) -> Answer:
        if "altServer" in search.attributes:  # what ldap3 asks the root DSE for, and we do not
            theirs.add(search.connection)
        other = search.connection in theirs
        if found := root_dse(search, namingContexts=[b"dc=y" if other else b"dc=x"]):
            return found
        if search.scope == 0:
            return Answer([(search.base, {"objectClass": [b"top"]})])
        entry = ("uid=ada,dc=x", {"uid": [b"ada"]})
        return Answer([] if other or search.pairs != (("uid", b"ada"),) else [entry])

    steps = await small(answer)
    found = [step.text for step in steps if (step.step, step.mark) == ("second opinion", "fail")]
    assert found == [
        "second opinion differs: naming contexts: dc=x, ldap3 dc=y",
        "second opinion differs: search for ada below dc=x: 1 (uid=ada,dc=x), ldap3 nothing",
    ]
    assert not [name for name, _ in marks(steps, "fail") if name != "second opinion"]


async def test_a_directory_that_turns_silent() -> None:
    """Whatever is asked after the bind ends by its own limit, ldap3's questions too."""
    steps = await small(lambda _: None, **SHORT)
    assert find(steps, "directory", "fail", "no answer within request_timeout (0.4 s)")
    assert find(steps, "second opinion", "warn", "LDAPSocketReceiveError")


async def test_hostile_texts() -> None:
    evil = b"\x1b[31m\r\n\xe2\x80\xae\xff" * 3

    def answer(search: Search) -> Answer:
        if found := root_dse(search, vendorName=[evil], subschemaSubentry=[evil], currentTime=[evil]):
            return found
        return Answer([(search.base, {"uid": [evil], "mail": [evil], "memberOf": [evil], "displayName": [evil * 1000]})])

    steps = await small(answer)
    assert find(steps, "root dse", "ok", r"\x1b[31m\r\n\u202e")
    assert find(steps, "person", "ok", r"\x1b[31m")


def test_ldap3_is_imported_by_the_doctor_alone() -> None:
    """DESIGN decision 1: it costs the daemon neither time nor memory."""
    code = "import sys, gateway.cli.serve, gateway.directory.doctor.examination; sys.exit('ldap3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
