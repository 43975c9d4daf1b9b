"""The order of an examination: configuration, hosts, the service's bind, and what lies behind it.

A step that fails ends what rests on it, and nothing else. Each has the server's own time limit, so that all end.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Final

from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.account_state import bind_restriction
from gateway.directory.connection import DirectoryError, Endpoint, answer_of
from gateway.directory.doctor.advice import address_key, set_tls, with_limits
from gateway.directory.doctor.lookups import look_further
from gateway.directory.doctor.privilege import Allowed
from gateway.directory.doctor.reach import Attempt, speaks_tls
from gateway.directory.doctor.report import Report
from gateway.directory.doctor.second_opinion import Asking
from gateway.directory.doctor.transport import look_at_hosts
from gateway.directory.hosts import HOST_TROUBLE, connect
from gateway.directory.pools import make_tls_context, service_dn
from gateway.directory.tls import TlsSettingsError

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Server
    from gateway.directory.messages import Result

_SCHEMES: Final = {"none": "ldap://", "ldaps": "ldaps://", "starttls": "StartTLS ldap://"}
_NEEDS_TLS: Final = ("the directory wants TLS first: set start_tls or use_ssl", "start_tls")
_MEANING: Final = {
    8: _NEEDS_TLS,
    13: _NEEDS_TLS,
    32: ("the directory has no entry of that name: check bind_dn", "bind_dn"),
    34: ("the directory does not understand that name: check bind_dn", "bind_dn"),
    48: ("the directory wants a name and a password: set bind_dn and bind_password", "bind_dn"),
    49: ("the password or the name is wrong: check bind_dn ({bind_dn}) and bind_password", "bind_password"),
}
"""What a refused bind of the service means, and the key to look at; ``{bind_dn}`` is where that is written."""
_REFUSED: Final = ("give bind_dn and bind_password of an account that may bind", "bind_dn")


async def examine(server: Server, snapshot: Snapshot, user: str = "", password: str = "") -> Report:
    """Look at everything that a login against ``server`` needs; with ``user`` at that person and their groups too.

    With ``password`` that person binds as well, once. A password goes where the configuration sends it, and nowhere
    else. A fault becomes a step.
    """
    report = Report(server.name, lambda path: str(snapshot.origin(path)))
    _tell_configuration(server, snapshot, report)
    try:
        context, unchecked = await make_tls_context(server), await make_tls_context(server)
    except TlsSettingsError as error:
        report.add("configuration", "fail", str(error), advice="mend the file or the setting that is named")
        return report
    if unchecked is not None:
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
    reached = await look_at_hosts(server, context, unchecked, report)
    if not reached:
        report.add("bind", "skipped", "no host can be used; what comes after it is skipped too")
    elif answered := await _bind(server, reached, context, report):
        asking, code = answered
        allowed = Allowed.of(snapshot.configuration, server.name)
        await look_further(server, asking, code, report, user, password, allowed)
    return report


def _tell_configuration(server: Server, snapshot: Snapshot, report: Report) -> None:
    endpoints = [Endpoint(*endpoint) for endpoint in server.endpoints]
    hosts = ", ".join(f"{_SCHEMES[endpoint.tls]}{endpoint}" for endpoint in endpoints)
    report.add("configuration", "ok", f"preset {server.preset}, bind_mode {server.mode}, {hosts}")
    prefix = f"servers.{server.name.lower()}."
    for problem in snapshot.warnings:
        if problem.path.lower().startswith(prefix):
            key = problem.path[len(prefix) :]
            report.add("configuration", "warn", f"{key}: {problem.message}", key=key)


async def _bind(
    server: Server, reached: list[Attempt], context: ssl.SSLContext | None, report: Report
) -> tuple[Asking, int] | None:
    """Bind as the service at each host. Returns where everything else is asked, with the result code there: the first
    host that let it in, else the first that answered.

    After a refusal no other host is asked, which would count it as one more wrong password of the service account.
    """
    password = server.bind_password.reveal() if server.mode == "service" else ""
    dn = service_dn(server)
    limits = (server.timeout or 10.0, server.request_timeout)
    answered: tuple[Asking, int] | None = None
    for made in reached if server.mode in SEARCH_MODES else reached[:1]:
        asking = Asking(made.endpoint, made.address, context, dn, password, *limits)
        started = time.perf_counter()
        try:
            result = await _bind_at(asking)
            _tell_bind(server, made.endpoint, result, time.perf_counter() - started, report)
        except DirectoryError as error:
            await _tell_no_answer(server, made, error, report)
            continue
        if answered is None or (answered[1] and not result.code):
            answered = asking, result.code
        if result.code and result.code not in HOST_TROUBLE:
            break
    return answered


async def _tell_no_answer(server: Server, made: Attempt, error: DirectoryError, report: Report) -> None:
    text = with_limits(str(error).removeprefix(f"{made.endpoint}: "), server)
    advice = "the directory hangs up or says nothing: does it want a client certificate, or is this no LDAP?"
    key = address_key(server)
    if made.endpoint.tls == "none" and await speaks_tls(made.endpoint, made.address, server.timeout or 10.0):
        text += "; this port speaks TLS from the first octet"
        advice, key = set_tls(server)
    report.add("bind", "fail", text, subject=str(made.endpoint), advice=advice, key=key)


async def _bind_at(asking: Asking) -> Result:
    """Raises DirectoryError."""
    connection = await connect(asking.endpoint, asking.context, timeout=asking.connect_timeout)
    try:
        if asking.password:
            return await connection.bind(asking.dn, asking.password, asking.timeout)
        return await connection.bind_without_password(asking.dn, asking.timeout)
    finally:
        await connection.close()


def _tell_bind(server: Server, endpoint: Endpoint, result: Result, seconds: float, report: Report) -> None:
    if server.mode not in SEARCH_MODES:
        text = f"bind_mode {server.mode} has no service account: people bind with their own password"
        report.add("bind", "skipped", text)
        return
    who = service_dn(server) or "nobody in particular"
    if server.mode == "unauthenticated":
        who += " without a password"
    subject = str(endpoint)
    if not result.code:
        report.add("bind", "ok", f"as {who}", subject=subject, seconds=seconds)
        return
    advice, key = _MEANING.get(result.code, _REFUSED)
    advice = advice.format(bind_dn=report.origin("bind_dn"))
    if result.code in HOST_TROUBLE:
        advice, key = "the directory is overloaded or starting: try again", ""
    elif barred := bind_restriction(result):
        advice, key = f"{barred.text}: mend that account, or give another", "bind_dn"
    text = f"refused as {who}: {answer_of(result)}"
    report.add("bind", "fail", text, subject=subject, seconds=seconds, advice=advice, key=key)
