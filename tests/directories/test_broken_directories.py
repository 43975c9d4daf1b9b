"""Every way in which a directory can break, at every step of a login: what becomes of the login, what the operator
reads, that it ends in time and leaves nothing behind, and that the first login after the repair succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from gateway.directory.realm import Outcome
from tests.directories.directory_logins import Logins, configured, logins
from tests.directories.faulty import (
    ADA_PASSWORD,
    CONNECT,
    GROUP_SEARCH,
    GROUPS,
    PEOPLE,
    SERVICE,
    SERVICE_BIND,
    SERVICE_PASSWORD,
    START_TLS,
    USER_BIND,
    USER_SEARCH,
    Fault,
    Faulty,
    code,
    continuation,
    cut_short,
    end_in_mid_message,
    endless_entries,
    garbage,
    hundred_megabytes,
    one_octet_at_a_time,
    referral,
    reset_in_mid_message,
    silence,
    wrong_id,
)

OK, INVALID, UNREACHABLE, ERROR = Outcome.OK, Outcome.INVALID, Outcome.UNREACHABLE, Outcome.ERROR
PATIENCE = 0.3
"""``timeout`` and ``request_timeout`` in these tests."""
DEADLINE = 10.0
QUICK: dict[str, object] = {
    "timeout": PATIENCE,
    "request_timeout": PATIENCE,
    "login_timeout": 4 * PATIENCE,
    "pool": {"backoff": 0.2, "probe": 0.1, "max_entries": 1000},
}


def settings(*directories: Faulty, **changes: object) -> dict[str, object]:
    """A server with a service account and a group search."""
    return {
        "urls": [f"ldap://127.0.0.1:{directory.port}" for directory in directories],
        "bind_dn": SERVICE,
        "bind_password": SERVICE_PASSWORD,
        "search_base_dns": [PEOPLE],
        "group_search_base_dns": [GROUPS],
        "group_search_filter": "(member=%s)",
        "group_search_filter_user_attribute": "dn",
        **QUICK,
        **changes,
    }


@asynccontextmanager
async def broken(*directories: Faulty, **changes: object) -> AsyncIterator[Logins]:
    """Logins to these hosts. In the end no task and no connection is left."""
    try:
        async with logins(configured(**settings(*directories, **changes))) as made:
            yield made
        coroutines = [task.get_coro() for task in asyncio.all_tasks()]
        assert [coro for coro in coroutines if "/gateway/" in coro.cr_code.co_filename] == []  # type: ignore[union-attr]
        async with asyncio.timeout(DEADLINE):
            while any(directory.open for directory in directories):
                await asyncio.sleep(0.01)
    finally:
        for directory in directories:
            await directory.close()


async def heals(made: Logins) -> None:
    """Until a login succeeds: the back-off is 0.2 s."""
    async with asyncio.timeout(DEADLINE):
        while (await made.verdict("ada", ADA_PASSWORD)).outcome is not OK:
            await asyncio.sleep(0.02)


class Row(NamedTuple):
    """A fault at a step, and what a login with the right password comes to."""

    step: str
    fault: Fault
    outcome: Outcome
    told: str = ""
    """Part of what the operator reads."""


NO_ANSWER = "no answer in time"
SERVICE_IS = f"the service account {SERVICE} was refused: "
ACCOUNT = "; check bind_dn and bind_password"
TLS_ADVICE = "; set start_tls or use_ssl"
ELSEWHERE = "; it refers to another directory, which is not asked: name that one in host or urls"

# Broken transport: the same everywhere (RFC 4511 5.1-5.3, X.690 8.1.3).
_BROKEN: list[tuple[Fault, Outcome, str]] = [
    (silence, UNREACHABLE, NO_ANSWER),
    (one_octet_at_a_time, OK, ""),
    (reset_in_mid_message, UNREACHABLE, "connection reset by the other side"),
    (end_in_mid_message, UNREACHABLE, "connection closed by the directory"),
    (garbage, UNREACHABLE, "this is not LDAP"),
    (wrong_id, UNREACHABLE, "an answer to a question that was not asked"),
    (hundred_megabytes, UNREACHABLE, "over the limit of 8388608"),
]
ROWS = [
    Row(step, *broken_so)
    for step in (SERVICE_BIND, USER_SEARCH, USER_BIND, GROUP_SEARCH)
    for broken_so in _BROKEN
] + [
    Row(USER_SEARCH, endless_entries, UNREACHABLE, "more than the limits allow"),
    Row(GROUP_SEARCH, endless_entries, UNREACHABLE, "more than the limits allow"),
    # The service's bind (RFC 4511 4.2.2, appendix A): never the fault of who logs in (grafana.md 2.2).
    Row(SERVICE_BIND, code(1), UNREACHABLE, f"{SERVICE_IS}1 operationsError{ACCOUNT}"),
    Row(SERVICE_BIND, code(2), UNREACHABLE, f"{SERVICE_IS}2 protocolError{ACCOUNT}"),
    Row(SERVICE_BIND, code(3), UNREACHABLE, f"{SERVICE_IS}3 timeLimitExceeded"),
    Row(SERVICE_BIND, code(4), UNREACHABLE, f"{SERVICE_IS}4 sizeLimitExceeded{ACCOUNT}"),
    Row(SERVICE_BIND, code(8), UNREACHABLE, f"{SERVICE_IS}8 strongerAuthRequired{TLS_ADVICE}"),
    Row(SERVICE_BIND, referral("ldap://other"), UNREACHABLE, f"{SERVICE_IS}10 referral{ELSEWHERE}"),
    Row(SERVICE_BIND, code(32), UNREACHABLE, f"{SERVICE_IS}32 noSuchObject{ACCOUNT}"),
    Row(SERVICE_BIND, code(49, "data 52e"), UNREACHABLE, f"{SERVICE_IS}49 invalidCredentials (data 52e){ACCOUNT}"),
    Row(SERVICE_BIND, code(50), UNREACHABLE, f"{SERVICE_IS}50 insufficientAccessRights{ACCOUNT}"),
    Row(SERVICE_BIND, code(51), UNREACHABLE, f"{SERVICE_IS}51 busy"),
    Row(SERVICE_BIND, code(52), UNREACHABLE, f"{SERVICE_IS}52 unavailable"),
    Row(SERVICE_BIND, code(53), UNREACHABLE, f"{SERVICE_IS}53 unwillingToPerform{ACCOUNT}"),
    # The user's bind: 49 is a wrong password, 32 and 53 are as good (grafana.md 2.2, clearml.md).
    Row(USER_BIND, code(1), ERROR, "bind refused: 1 operationsError"),
    Row(USER_BIND, code(2), ERROR, "bind refused: 2 protocolError"),
    Row(USER_BIND, code(3), UNREACHABLE, "bind refused: 3 timeLimitExceeded"),
    Row(USER_BIND, code(4), ERROR, "bind refused: 4 sizeLimitExceeded"),
    Row(USER_BIND, code(8), ERROR, f"bind refused: 8 strongerAuthRequired{TLS_ADVICE}"),
    Row(USER_BIND, referral("ldap://other"), ERROR, f"bind refused: 10 referral{ELSEWHERE}"),
    Row(USER_BIND, code(32), INVALID, "bind refused: 32 noSuchObject"),
    Row(USER_BIND, code(50), ERROR, "bind refused: 50 insufficientAccessRights"),
    Row(USER_BIND, code(51), UNREACHABLE, "bind refused: 51 busy"),
    Row(USER_BIND, code(52), UNREACHABLE, "bind refused: 52 unavailable"),
    Row(USER_BIND, code(53), INVALID, "bind refused: 53 unwillingToPerform"),
    Row(USER_BIND, code(49), INVALID, "bind refused: 49 invalidCredentials"),
] + [
    # Active Directory's codes ([MS-ADTS] 2.2.16 and Windows error codes); the caller is told nothing of them.
    Row(USER_BIND, code(49, f"80090308: LdapErr: DSID-0C09, comment: AcceptSecurityContext error, data {data}, v4563"),
        INVALID, told)
    for data, told in [
        ("525", "data 525"),  # no such user
        ("52e", "data 52e"),  # wrong password
        ("52f", "data 52f"),  # account restriction
        ("530", "; outside the account's logon hours (data 530)"),
        ("531", "; the account may not log in from here (data 531)"),
        ("532", "; the password has expired (data 532)"),
        ("533", "; the account is disabled (data 533)"),
        ("568", "data 568"),  # too many context identifiers
        ("701", "; the account has expired (data 701)"),
        ("773", "; the password must be changed first (data 773)"),
        ("775", "; the account is locked (data 775)"),
    ]
] + [
    Row(step, fault, outcome, f"below '{base}' refused: {told}")
    for step, base in ((USER_SEARCH, PEOPLE), (GROUP_SEARCH, GROUPS))
    for fault, outcome, told in [
        (code(1), ERROR, "1 operationsError; Active Directory answers so where nobody is bound: set bind_dn"),
        (code(2), ERROR, "2 protocolError"),
        (code(3), UNREACHABLE, "3 timeLimitExceeded; the server's time limit: index the attributes of search_filter"),
        (code(8), ERROR, f"8 strongerAuthRequired{TLS_ADVICE}"),
        (code(11), ERROR, "11 adminLimitExceeded; a limit of the server: raise it for the service account"),
        (referral("ldap://other"), ERROR, f"10 referral{ELSEWHERE}"),
        (code(32), ERROR, "32 noSuchObject; check search_base_dns and group_search_base_dns"),
        (code(49), ERROR, f"49 invalidCredentials{ACCOUNT}"),
        (code(50), ERROR, "50 insufficientAccessRights; the service account (bind_dn)"),
        (code(51), UNREACHABLE, "51 busy"),
        (code(52), UNREACHABLE, "52 unavailable"),
        (code(53), ERROR, "53 unwillingToPerform; the server does not search for nobody in particular"),
    ]
] + [
    # A size limit (vault.md 4.2: not exactly one entry): one of several must not be taken for the only one.
    Row(USER_SEARCH, cut_short(0), ERROR, f"below '{PEOPLE}' refused: 4 sizeLimitExceeded; the server's size limit"),
    Row(USER_SEARCH, cut_short(1), ERROR, f"below '{PEOPLE}' refused: 4 sizeLimitExceeded; the server's size limit"),
    Row(USER_SEARCH, cut_short(2), INVALID, "2 entries below"),
    Row(GROUP_SEARCH, cut_short(3), ERROR, f"below '{GROUPS}' refused: 4 sizeLimitExceeded; the server's size limit"),
    # RFC 4511 4.5.3: another directory may know more; it is not asked.
    Row(USER_SEARCH, continuation("ldap://other"), OK),
    Row(GROUP_SEARCH, continuation("ldap://other"), OK),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.step}, {number}" for number, row in enumerate(ROWS)])
async def test_faults(row: Row) -> None:
    """Acceptance 4; each row ends within ``login_timeout``."""
    directory = await Faulty.start(row.step, row.fault)
    async with broken(directory) as made:
        async with asyncio.timeout(DEADLINE):
            verdict = await made.verdict("ada", ADA_PASSWORD)
        assert verdict.outcome is row.outcome, verdict
        assert row.told in verdict.reason
        assert SERVICE_PASSWORD not in verdict.reason
        assert ADA_PASSWORD not in verdict.reason
        if row.outcome is OK:
            assert verdict.account is not None
            assert [group.name for group in verdict.account.groups] == ["admins"]
        else:
            assert verdict.account is None
        directory.heal()
        await heals(made)


async def test_a_directory_that_refuses_connections() -> None:
    directory = await Faulty.start()
    async with broken(directory) as made:
        await directory.refuse()
        verdict = await made.verdict("ada", ADA_PASSWORD)
        assert (verdict.outcome, "Connection refused" in verdict.reason) == (UNREACHABLE, True)
        await directory.listen()
        await heals(made)


async def test_searches_that_are_given_up_are_abandoned() -> None:
    """RFC 4511 section 4.11: nobody works on for a login that is over."""
    directory = await Faulty.start(USER_SEARCH, silence)
    async with broken(directory) as made:
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is UNREACHABLE
        async with asyncio.timeout(DEADLINE):
            while not directory.abandoned:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("step", [SERVICE_BIND, USER_SEARCH, USER_BIND, GROUP_SEARCH])
@pytest.mark.parametrize("kind", [referral, continuation])
async def test_referrals_are_never_followed(step: str, kind: Any) -> None:
    """Neither with credentials nor without: the directory that is referred to sees no connection."""
    other = await Faulty.start()
    directory = await Faulty.start(step, kind(f"ldap://127.0.0.1:{other.port}/dc=example,dc=com"))
    async with broken(directory) as made:
        await made.verdict("ada", ADA_PASSWORD)
    assert other.connections == 0
    await other.close()


async def test_the_service_password_is_changed_while_running() -> None:
    """The connection that is bound works on; after its end the account is asked once in each ``pool.backoff``."""
    directory = await Faulty.start()
    pause = 1.0
    async with broken(directory, pool={"backoff": pause, "probe": 0.05}) as made:
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is OK
        directory.service_password = "changed"
        assert (await made.verdict("ada", ADA_PASSWORD)).outcome is OK
        binds = directory.binds[SERVICE]
        await directory.refuse()
        await directory.listen()
        loop = asyncio.get_running_loop()
        begun, asked = loop.time(), 0
        async with asyncio.timeout(DEADLINE):
            while loop.time() < begun + 1.5 * pause:
                verdict = await made.verdict("ada", ADA_PASSWORD)
                assert verdict.outcome is UNREACHABLE
                asked += 1
                await asyncio.sleep(0.01)
        assert f"{SERVICE_IS}49 invalidCredentials{ACCOUNT}" in verdict.reason
        assert asked > 20
        assert 1 <= directory.binds[SERVICE] - binds <= (loop.time() - begun) / pause + 1.5
        async with logins(configured(**settings(directory, bind_password="changed"))) as reloaded:
            assert (await reloaded.verdict("ada", ADA_PASSWORD)).outcome is OK
        directory.service_password = SERVICE_PASSWORD
        await heals(made)


async def test_a_service_that_is_bound_again_for_each_login_does_not_lock_itself() -> None:
    """Pages of groups are turned on a connection of their own, bound as the service while the old bind still counts."""
    directory = await Faulty.start()
    async with broken(directory, pool={"backoff": 60, "probe": 60}) as made:
        pool = made.directory.pool
        async with pool.alone():
            pass
        directory.service_password = "changed"
        binds = directory.binds[SERVICE]
        for _ in range(5):
            with pytest.raises(Exception, match="was refused: 49"):
                async with pool.alone():
                    pass
            verdict = await made.verdict("ada", ADA_PASSWORD)
            assert (verdict.outcome, SERVICE_IS in verdict.reason) == (UNREACHABLE, True)
        assert directory.binds[SERVICE] - binds == 1
        assert not pool.state.up


# TLS that never comes about. Whatever happens, no password is sent in clear.


async def garbage_behind_start_tls(question: Any) -> None:
    await code(0)(question)
    await garbage(question)


async def plain_answers_behind_start_tls(question: Any) -> None:
    """As an attacker in the middle would, who hopes that the client goes on in clear."""
    await code(0)(question)
    question.number += 1
    question.kind = "BindResponse"
    await code(0)(question)


TLS_FAULTS: list[tuple[Fault, str]] = [
    (code(2, "unsupported extended operation"), "StartTLS refused: 2 protocolError (unsupported extended operation)"),
    (code(52), "StartTLS refused: 52 unavailable"),
    (code(1), "StartTLS refused: 1 operationsError"),
    (referral("ldap://other"), "StartTLS refused: 10 referral"),
    (silence, "in time"),
    (garbage, "this is not LDAP"),
    (garbage_behind_start_tls, ""),
    (plain_answers_behind_start_tls, "in clear"),
    (code(0), "in time"),  # and then the handshake hangs
    (reset_in_mid_message, ""),
]


@pytest.mark.parametrize(("fault", "told"), TLS_FAULTS, ids=[str(number) for number in range(len(TLS_FAULTS))])
@pytest.mark.parametrize("mode", ["service", "single"])
async def test_start_tls_never_falls_back(fault: Fault, told: str, mode: str) -> None:
    """RFC 4513 section 3.1.1, vault.md 4.1: its failure is the host's; nothing is bound in clear."""
    directory = await Faulty.start(START_TLS, fault)
    changes = {} if mode == "service" else {"bind_dn": f"uid=%s,{PEOPLE}", "bind_password": None}
    async with broken(directory, start_tls=True, ssl_skip_verify=True, **changes) as made:
        async with asyncio.timeout(DEADLINE):
            verdict = await made.verdict("ada", ADA_PASSWORD)
        assert (verdict.outcome, told in verdict.reason) == (UNREACHABLE, True), verdict
        assert directory.connections > 0
        assert directory.binds.total() == 0
        for password in (ADA_PASSWORD, SERVICE_PASSWORD):
            assert password.encode() not in directory.received


@pytest.mark.parametrize("mode", ["service", "single"])
async def test_a_tls_handshake_that_hangs(mode: str) -> None:
    """A plain directory where TLS is expected waits for the rest of a message that never comes."""
    directory = await Faulty.start(CONNECT, silence)
    changes = {} if mode == "service" else {"bind_dn": f"uid=%s,{PEOPLE}", "bind_password": None}
    url = f"ldaps://127.0.0.1:{directory.port}"
    async with broken(directory, urls=[url], ssl_skip_verify=True, **changes) as made:
        verdict = await made.verdict("ada", ADA_PASSWORD)
        assert verdict.outcome is UNREACHABLE
        assert directory.binds.total() == 0
        assert ADA_PASSWORD.encode() not in directory.received
