"""Explanations as text for a terminal: the verdict first, then what it rests on. Pure.

Whatever comes from a directory, or was typed, is cleaned: no escape sequence reaches the terminal, no line is forged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.config.schema.servers import SEARCH_MODES
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.directory.traced import Operation
    from gateway.explain.login import LoginExplanation, ServerAnswer
    from gateway.explain.search import SearchExplanation
    from gateway.identity import Account, Grant

_NO_ATTRIBUTES: Final = ("1.1",)
_ATTRIBUTES: Final = 6
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")
"""Characters that RFC 4515 allows as they are; written as escapes, the filter can be pasted."""
_NOT_TRIED: Final = "not tried (no password given; --password-stdin or --password)"


def login_text(explanation: LoginExplanation) -> list[str]:
    """The lines of ``explain login``."""
    return [printable(line) for line in _login_lines(explanation)]


def search_text(explanation: SearchExplanation) -> list[str]:
    """The lines of ``explain search``."""
    return [printable(line) for line in _search_lines(explanation)]


def _login_lines(explanation: LoginExplanation) -> Iterator[str]:
    yield explanation.verdict
    yield from (f"advice: {text}" for text in explanation.advice)
    for answer in explanation.servers:
        yield ""
        yield from _server_lines(answer, explanation)
    yield ""
    yield f"not asked here, the daemon alone knows: {', '.join(explanation.not_asked)}"


def _server_lines(answer: ServerAnswer, explanation: LoginExplanation) -> Iterator[str]:
    """What the verdict has said already is not said again."""
    reason = "" if not answer.reason or answer.reason in explanation.verdict else f": {answer.reason}"
    yield f"{answer.server} ({answer.mode}): {answer.outcome}{reason}"
    if answer.mode == "local users":
        yield "  a local user is decided here and never reaches a directory"
    if answer.urls:
        yield f"  {' '.join(answer.urls)}"
    if answer.connect_milliseconds is not None:
        bound = f" as {answer.service_dn or 'nobody in particular'}" if answer.mode in SEARCH_MODES else ""
        yield f"  connected to {answer.endpoint} in {answer.connect_milliseconds:.1f} ms{bound}"
    for operation in answer.operations:
        yield from _operation_lines(operation, answer.endpoint)
    password_given = explanation.password_given
    if answer.would_bind:
        yield f"  bind {answer.would_bind}: {_NOT_TRIED}"
    elif answer.operations and not password_given:
        yield f"  bind: {_NOT_TRIED}"
    if answer.round_trips:
        yield f"  {_counted(answer.round_trips, 'round trip', 'round trips')}, {answer.milliseconds:.1f} ms"
    yield from (f"  warning: {text}" for text in answer.warnings)
    yield from _outcome_lines(answer)


def _outcome_lines(answer: ServerAnswer) -> Iterator[str]:
    """What is made of an account."""
    if answer.account is not None:
        yield from _account_lines(answer.account, answer.user_id)
        yield from _rule_lines(answer)
    if answer.refused:
        yield f"  refused by the configuration: {answer.refused}"
    if answer.conjur:
        yield f"  Conjur: {answer.conjur}"
    if answer.grant is not None:
        yield "  grant" if answer.outcome == "ok" else "  grant, were the account let in"
        yield from (f"    {line}" for line in _grant_lines(answer.grant))
    if answer.whitelist:
        yield "  the whitelist decides at login whether the e-mail address is invited (clearml.registration)"


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _operation_lines(operation: Operation, endpoint: str) -> Iterator[str]:
    """``endpoint`` is where it goes unless something else is said."""
    if operation.kind == "bind":
        yield f"  bind {operation.dn or '(anonymous)'}"
    elif operation.kind == "who am i":
        yield f"  who am i: {operation.dn or '(not told)'}"
    else:
        pages = f" in pages of {operation.page_size}" if operation.page_size else ""
        text = _CONTROL.sub(lambda match: f"\\{ord(match[0]):02x}", operation.filter)
        yield f"  search {operation.scope} {operation.dn or '(root)'} {text}{_asked_for(operation)}{pages}"
    found = ""
    if operation.kind == "search" and operation.result:
        more = ", ..." if operation.entries > len(operation.found) else ""
        names = f": {' | '.join(operation.found)}{more}" if operation.found else ""
        found = f", {_entries(operation.entries)}{names}"
    message = f" ({operation.message})" if operation.message else ""
    new = " on a new connection" if operation.new_connection else ""
    elsewhere = f" from {operation.host}" if operation.host not in ("", endpoint) else ""
    time = f"{operation.milliseconds:.1f} ms{elsewhere}{new}"
    yield f"    -> {operation.result or 'no answer'}{message}, {time}{found}"


def _asked_for(operation: Operation) -> str:
    """The first attributes; a login asks for many, and the document of ``--json`` has them all."""
    if operation.attributes == _NO_ATTRIBUTES:
        return ""
    names, more = operation.attributes[:_ATTRIBUTES], len(operation.attributes) - _ATTRIBUTES
    return f" [{' '.join(names) or '*'}{f' and {more} more' if more > 0 else ''}]"


def _entries(count: int) -> str:
    return _counted(count, "entry", "entries")


def _account_lines(account: Account, user_id: str) -> Iterator[str]:
    yield f"  account {account.dn or account.username}"
    fields = {
        "username": account.username, "name": account.name, "email": account.email,
        "unique id": account.external_id, "ClearML user id": user_id,
    }  # fmt: skip
    yield from (f"    {name}: {value}" for name, value in fields.items() if value)
    yield from (f"    {name}: {' | '.join(values)}" for name, values in account.attributes.items() if values)
    yield f"  groups: {len(account.groups) or 'none'}"
    for group in account.groups:
        dn = f"  {group.dn}" if group.dn else ""
        yield f"    {group.name or '(no name)'}{dn}  <- {group.source or 'the configuration'}"


def _rule_lines(answer: ServerAnswer) -> Iterator[str]:
    matched = sum("group_mappings" in rule.key for rule in answer.rules)
    if answer.mappings and not matched:
        yield f"  group mappings: none of {answer.mappings} matches"
    yield from (f"  no match: {text}" for text in answer.near_misses)
    if answer.rules:
        yield "  rules that apply"
        for rule in answer.rules:
            yield f"    {rule.origin}: {rule.key}: {rule.matches} -> {rule.gives}"


def _grant_lines(grant: Grant) -> Iterator[str]:
    yield f"company: {grant.company} ({grant.company_name})"
    yield f"ClearML role: {grant.clearml_role}"
    yield from (f"Grafana organisation {number}: {role}" for number, role in grant.org_roles.items())
    if grant.grafana_admin:
        yield "Grafana server administrator: yes"
    if grant.policies:
        yield f"policies: {', '.join(grant.policies)}"
    yield f"administrator of the gateway: {'yes' if grant.admin else 'no'}"


def _search_lines(explanation: SearchExplanation) -> Iterator[str]:
    more = "more than " if explanation.cut_short else ""
    if explanation.error:
        yield f"{explanation.server}: {explanation.error}"
    else:
        yield f"{explanation.server}: {more}{_entries(explanation.count)}"
    yield from (f"advice: {text}" for text in explanation.advice)
    for operation in explanation.operations:
        yield from _operation_lines(operation, explanation.endpoint)
    yield from (f"  warning: {text}" for text in explanation.warnings)
    for entry in explanation.entries:
        yield ""
        yield entry.dn or "(root)"
        for name, values in entry.attributes.items():
            yield from (f"  {name}: {value}" for value in values)
        yield from (f"  {name}: (none, or not to be seen)" for name in entry.absent)
    if explanation.count > len(explanation.entries) > 0:
        yield ""
        yield f"the first {len(explanation.entries)} of {more}{explanation.count}"
