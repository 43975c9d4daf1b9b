"""What lies behind the bind: the root DSE, the clock, the schema, people and groups; then ldap3's view of the same.

Where people bind as themselves it is asked as the person whose password was given, else as nobody in particular.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.account_state import bind_restriction
from gateway.directory.bind import DirectoryServer
from gateway.directory.connection import DirectoryError, answer_of
from gateway.directory.doctor.advice import bound_by, cause_first, names_a_bar, set_preset, typed_name, with_limits
from gateway.directory.doctor.comparison import Findings, compare
from gateway.directory.doctor.mappings import look_at_mappings
from gateway.directory.doctor.person import PersonLookup
from gateway.directory.doctor.privilege import Allowed, look_at_allowed
from gateway.directory.doctor.root_dse import (
    ATTRIBUTES,
    RootDse,
    known_names,
    read_root_dse,
    wanted_attributes,
    wanted_classes,
)
from gateway.directory.doctor.search import Searches, look_at_base, look_for_nobody
from gateway.directory.doctor.second_opinion import Asking
from gateway.directory.escape import DnError
from gateway.directory.filters import compile_filter
from gateway.directory.messages import Scope, SearchRequest
from gateway.directory.pools import make_pool
from gateway.directory.realm import Outcome
from gateway.directory.searches import Searcher, SearchFailed, ask

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Mark, Report
    from gateway.directory.pool import Pool

MAX_SKEW_SECONDS: Final = 300.0
"""What Active Directory itself tolerates between two clocks (Kerberos, RFC 4120 8.2)."""
_ANY: Final = compile_filter("(objectClass=*)")
_SUBSCHEMA: Final = compile_filter("(objectClass=subschema)")


async def look_further(
    server: Server,
    asking: Asking,
    bind_code: int,
    report: Report,
    user: str,
    password: str = "",
    allowed: Allowed | None = None,
) -> None:
    """Ask all that can be asked as the service; without one as ``user``, else what nobody in particular may read."""
    ours = Findings(bind_code)
    if bind_code and server.mode != "service":
        report.add("second opinion", "skipped", "nobody may ask without a password")
        return
    if not bind_code:
        pool = await make_pool(server.model_copy(update=_only(asking)))
        try:
            await pool.start()  # so that no step is charged with the connection
            if server.mode in SEARCH_MODES:
                await _directory(server, pool, ours, report)
                searches = Searches(server, pool, report)
                ours.questions = searches.questions
                await _people(searches, ours, user, allowed)
                await _login(server, pool, user, password, report)
            else:
                await _as_themselves(server, pool, ours, report, user, password, allowed)
        except DirectoryError as error:
            text, advice = with_limits(str(error), server), "ask again; if it stays so, see the directory's own log"
            report.add("directory", "fail", text.removeprefix(f"{asking.endpoint}: "), subject=str(asking.endpoint),
                       advice=advice)  # fmt: skip
        finally:
            await pool.close()
    await compare(asking, ours, server, report)


def _only(asking: Asking) -> dict[str, Any]:
    """Changes to a server after which it has this one host."""
    scheme = "ldaps" if asking.endpoint.tls == "ldaps" else "ldap"
    return {"urls": (f"{scheme}://{asking.endpoint}",), "host": "", "port": 0, "use_ssl": False}


# Where people bind as themselves, and their passwords


async def _as_themselves(
    server: Server, pool: Pool, ours: Findings, report: Report, user: str, password: str, allowed: Allowed | None
) -> None:
    """Ask as ``user``; a wrong password is sent once. ldap3 is asked nothing that only a person may."""
    name = ""
    if user and password:
        try:
            name = DirectoryServer(server, pool).bind_name(user)
        except DnError as error:
            report.add("person", "fail", str(error), subject=user, advice="check the name", key=bound_by(server))
    if not name:
        async with pool.anonymous() as nobody:
            await _directory(server, nobody, ours, report)
        if not (user and password):
            text = f"nothing about people was examined: in bind_mode {server.mode} they are searched as themselves"
            report.add("person", "warn", text, advice="give --user NAME and --password (or --password-stdin)")
            report.add("search", "skipped", "there is nobody to search as")
        return
    async with pool.bound_as(name, password, server.request_timeout + 2 * server.login_timeout) as session:
        if not session.result.code:
            report.add("password", "ok", f"bound as {name}", subject=user)
            await _directory(server, session, ours, report)
            await _people(Searches(server, session, report), ours, user, allowed, bound_as=name)
        else:
            barred = bind_restriction(session.result)
            reason = f"bind refused: {answer_of(session.result)}" + (f"; {barred.text}" if barred else "")
            _tell_refused(server, user, f"{cause_first(server, reason)}, as {name}", report)
    if session.result.code:
        async with pool.anonymous() as nobody:
            await _directory(server, nobody, ours, report)
    else:
        await _login(server, pool, user, password, report)


async def _login(server: Server, pool: Pool, user: str, password: str, report: Report) -> None:
    """Try a login with the password that was given: the very thing, with all its proofs."""
    if not (user and password):
        return
    verdict = await DirectoryServer(server, pool).authenticate(user, password, _NoLockout())
    if verdict.account is not None:
        report.add("login", "ok", f"the directory lets in {verdict.account.username}", subject=user)
    elif verdict.outcome is not Outcome.NOT_FOUND:  # which was told of the person
        _tell_refused(server, user, with_limits(cause_first(server, verdict.reason), server), report, "login")


class _NoLockout:
    async def admits_name(self, server: str) -> bool:
        return True

    async def admits_entry(self, server: str, entry: str) -> bool:
        return True


def _tell_refused(server: Server, user: str, text: str, report: Report, step: str = "password") -> None:
    advice, key = "ldap-gateway explain login shows each step of it", ""
    if names_a_bar(text):
        advice = "it is the directory that bars the account"
    elif text.startswith("wrong password"):
        key = bound_by(server)
        again = f"try the password again, or check what {key} makes of the name" if key else "try the password again"
        advice = typed_name(server, user) or again
    report.add(step, "fail", text, subject=user, advice=advice, key=key)


# The directory itself


async def _directory(server: Server, searcher: Searcher, ours: Findings, report: Report) -> None:
    started = time.perf_counter()
    sent = time.time()
    try:
        found = await ask(searcher, SearchRequest("", _ANY, ATTRIBUTES, scope=Scope.BASE))
    except SearchFailed as error:
        report.add("root dse", "warn", str(error), seconds=time.perf_counter() - started)
        return
    seconds = time.perf_counter() - started
    if not found:
        report.add("root dse", "warn", "it may not be read: what the directory can do is not known", seconds=seconds)
        return
    ours.root = read_root_dse(found[0])
    _tell_root(server, ours.root, seconds, report)
    _tell_clock(ours.root, sent + seconds / 2, report)
    await _schema(server, searcher, ours, report)


def _tell_root(server: Server, root: RootDse, seconds: float, report: Report) -> None:
    offers = {"paged results": root.paged_results, "password policy": root.password_policy, "StartTLS": root.start_tls}
    parts = [
        root.vendor or root.preset or "product not told",
        f"LDAP {', '.join(root.versions) or 'version not told'}",
        f"naming contexts {'; '.join(root.naming_contexts) or 'not told'}",
        f"offers {', '.join(name for name, offered in offers.items() if offered) or 'nothing we look for'}",
    ]
    report.add("root dse", "ok", ", ".join(parts), seconds=seconds)
    if root.versions and "3" not in root.versions:
        report.add("root dse", "fail", "it does not speak LDAP 3", advice="no other version can be used")
    if server.page_size and not root.paged_results:
        text = "it does not offer paged results, so group searches go without"
        report.add("root dse", "warn", text, advice="set page_size to 0", key="page_size")
    if root.preset and server.preset not in (root.preset, "vault"):  # vault is a way of writing, not a product
        mark: Mark = "ok" if server.preset == "custom" else "warn"
        text = f"the preset that fits is {root.preset}"
        advice = f"{set_preset(report, root.preset)}; it gives filters and attributes that are not set otherwise"
        report.add("preset", mark, text, advice=advice, key="preset")


def _tell_clock(root: RootDse, now: float, report: Report) -> None:
    if root.time is None:
        report.add("clock", "skipped", "this directory does not show its clock")
        return
    skew = root.time.timestamp() - now
    text = f"the directory's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) > MAX_SKEW_SECONDS:
        report.add("clock", "warn", text, advice="set both clocks by NTP: accounts and certificates expire by them")
    else:
        report.add("clock", "ok", text)


async def _schema(server: Server, searcher: Searcher, ours: Findings, report: Report) -> None:
    root = ours.root
    if root is None or not root.subschema_dn:
        report.add("schema", "skipped", "the root DSE does not tell where the schema is")
        return
    started = time.perf_counter()
    request = SearchRequest(root.subschema_dn, _SUBSCHEMA, ("attributeTypes", "objectClasses"), scope=Scope.BASE)
    try:
        found = await ask(searcher, request)
    except (SearchFailed, DirectoryError) as error:
        # In the other modes there is no account to be given, as the advice in the text would have it.
        text = str(error) if server.mode in SEARCH_MODES else "nobody in particular may read it"
        report.add("schema", "skipped", f"cannot be read: {text}")
        return
    seconds = time.perf_counter() - started
    descriptions = found[0].attributes.get("attributetypes", []) if found else []
    if not descriptions:
        report.add("schema", "skipped", "it may not be read: names of attributes are not checked", seconds=seconds)
        return
    ours.attributes = known_names(descriptions)
    _tell_attributes(server, ours.attributes, seconds, report)
    classes = known_names(found[0].attributes.get("objectclasses", ()))
    for name, key in wanted_classes(server).items() if classes else ():
        if name.lower() not in classes:
            text = f"no object class {name} in the schema: nothing is of it"
            report.add("schema", "warn", text, advice="check its spelling", key=key)


def _tell_attributes(server: Server, attributes: frozenset[str], seconds: float, report: Report) -> None:
    wanted = wanted_attributes(server)
    unknown = [name for name in wanted if name.lower() not in attributes]
    if known := [name for name in wanted if name not in unknown]:
        report.add("schema", "ok", f"it knows {', '.join(known)}", seconds=seconds)
    emails = {name.lower() for name in server.attributes.emails}
    if report.origin("attributes.email") == "default" and not emails.isdisjoint(attributes):
        unknown = [name for name in unknown if name.lower() not in emails]  # nobody asked for that one
    for name in unknown:
        advice = _UNKNOWN_MEMBER_OF if name.lower() == "memberof" else "check its spelling"
        report.add("schema", "warn", f"no attribute {name} in the schema", advice=advice, key=wanted[name])


_UNKNOWN_MEMBER_OF: Final = (
    "nobody has groups this way: switch the directory's memberof overlay or plug-in on, or set group_search_filter"
)


async def _people(
    searches: Searches, ours: Findings, user: str, allowed: Allowed | None, bound_as: str = ""
) -> None:
    """Bases, a name that nobody has, one person; the groups that mappings name, and whom a service lets in. Raises
    DirectoryError."""
    server, report = searches.server, searches.report
    contexts = ours.root.naming_contexts if ours.root else ()
    own = bound_as if server.mode == "direct" else ""
    bases = [
        base for base in server.user_bases
        if (base or not own) and await look_at_base(searches, base, "search_base_dns", contexts)
    ]  # fmt: skip
    groups_there = [
        await look_at_base(searches, base, "group_search_base_dns", contexts) for base in server.group_search_base_dns
    ]
    for base in bases if not own else ():
        await look_for_nobody(searches, base)
    if bases or own:
        lookup = PersonLookup(searches, bases, ours.root, own=own, group_bases_exist=all(groups_there))
        await _person(lookup, server, user, report)
    else:
        report.add("person", "skipped", "there is no base to search below")
    await look_at_mappings(searches)
    if allowed is not None:
        await look_at_allowed(searches, allowed, bases)


async def _person(lookup: PersonLookup, server: Server, user: str, report: Report) -> None:
    try:
        async with asyncio.timeout(server.login_timeout):
            await lookup.look(user)
    except SearchFailed as error:
        report.add("person", "fail", str(error), advice="check search_filter, and what bind_dn may search")
    except TimeoutError:
        text = f"no end within login_timeout ({server.login_timeout:g} s)"
        report.add("person", "fail", text, advice="see which search is slow", key="login_timeout")
