"""Our own client and ldap3 side by side: where both have an answer and it is not the same, one of them is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.directory.connection import Unreachable
from gateway.directory.doctor.root_dse import RootDse, wanted_attributes
from gateway.directory.doctor.second_opinion import Asking, Opinion, Question, second_opinion
from gateway.directory.messages import result_name

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Report


@dataclass(slots=True)
class Findings:
    """What our own client found."""

    bind_code: int
    root: RootDse | None = None
    """None: it could not be read."""
    attributes: frozenset[str] | None = None
    """Names of the schema in lower case; None where it could not be read."""
    questions: list[Question] = field(default_factory=list)


async def compare(asking: Asking, ours: Findings, server: Server, report: Report) -> None:
    """Ask ldap3 the same, and note what differs."""
    started = time.perf_counter()
    try:
        theirs = await second_opinion(asking, ours.questions)
    except Unreachable as error:
        report.add("second opinion", "warn", f"none: {error}", seconds=time.perf_counter() - started)
        return
    seconds = time.perf_counter() - started
    differences = list(_differences(ours, theirs, wanted_attributes(server)))
    for difference in differences:
        text = f"second opinion differs: {difference}"
        advice = "ask again; if it stays so, the directories behind this host do not hold the same, or one client errs"
        report.add("second opinion", "fail", text, advice=advice)
    if not differences:
        text = "ldap3 is refused too" if ours.bind_code else f"ldap3 agrees on {', '.join(_compared(ours, theirs))}"
        report.add("second opinion", "ok", text, seconds=seconds)


def _compared(ours: Findings, theirs: Opinion) -> Iterator[str]:
    yield "the bind"
    if ours.root is not None and theirs.naming_contexts is not None:
        yield "naming contexts"
    if ours.attributes is not None and theirs.attributes is not None:
        yield "attributes"
    if asked := sum(answer is not None for answer in theirs.answers):
        yield f"{asked} of {len(ours.questions)} searches"


def _differences(ours: Findings, theirs: Opinion, names: Iterable[str]) -> Iterator[str]:
    if ours.bind_code != theirs.bind_code:
        yield f"bind: {result_name(ours.bind_code)}, ldap3 {result_name(theirs.bind_code)}"
        return
    if ours.root is not None and theirs.naming_contexts is not None:
        mine, other = sorted(ours.root.naming_contexts), sorted(theirs.naming_contexts)
        if mine != other:
            yield f"naming contexts: {'; '.join(mine)}, ldap3 {'; '.join(other)}"
    if ours.attributes is not None and theirs.attributes is not None:
        for name in names:
            known, other_known = name.lower() in ours.attributes, name.lower() in theirs.attributes
            if known != other_known:
                yield f"attribute {name}: only {'the gateway' if known else 'ldap3'} finds it in the schema"
    for question, answer in zip(ours.questions, theirs.answers, strict=not ours.bind_code):
        if answer is not None and answer != question.found:
            yield f"{question.what}: {_entries(question.found)}, ldap3 {_entries(answer)}"


def _entries(found: frozenset[str]) -> str:
    return f"{len(found)} ({'; '.join(sorted(found)[:3])})" if found else "nothing"
