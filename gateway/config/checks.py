"""What can be checked about the servers without the network: filters, DNs, certificate files. Reads files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.directory.escape import DnError, parse_dn
from gateway.directory.filters import FilterError, compile_filter
from gateway.directory.templates import DnTemplate
from gateway.directory.tls import TlsSettingsError, check_authorities, check_identity, tls_context

from .schema import Configuration, Server
from .schema.section import Finding, Severity
from .schema.servers import PLACEHOLDER

_FOREIGN: Final = re.compile(r"\{\{[^{}]*\}\}|[%$]?\{\w*\}")
"""Placeholders of other programs: ``{{.Username}}``, ``{username}``, ``${username}``, ``%{user}``."""


def server_findings(configuration: Configuration) -> Iterator[Finding]:
    """Findings about all servers, with places from the root."""
    for index, server in enumerate(configuration.servers):
        for finding in _of_server(server):
            yield finding.below("servers", index)


def _of_server(server: Server) -> Iterator[Finding]:
    for key in ("search_filter", "group_search_filter"):
        yield from _filter_findings(key, getattr(server, key))
    for key in ("search_base_dns", "group_search_base_dns"):
        for place, base in enumerate(getattr(server, key)):
            yield from _refused(parse_dn, base, key, place)
    if server.mode == "single" and PLACEHOLDER.search(server.bind_dn):
        yield from _refused(DnTemplate, server.bind_dn, "bind_dn")
    bases = server.search_base_dns
    if len(bases) > 1 and all(len(base) == 1 for base in _parsed(bases)):
        message = "has one component in each item: where one DN was meant, write it in quotes"
        yield Finding(("search_base_dns",), message, "warning")
    yield from _tls_findings(server)


def _parsed(texts: Sequence[str]) -> Iterator[Sequence[object]]:
    for text in texts:
        with suppress(DnError):
            yield parse_dn(text)


def _filter_findings(key: str, text: str) -> Iterator[Finding]:
    if not text:
        return
    refused = list(_refused(compile_filter, text, key))
    yield from refused
    foreign = _FOREIGN.search(text)
    if refused or (PLACEHOLDER.search(text) and (foreign is None or not foreign[0].startswith("{{"))):
        return
    if foreign is None:
        yield Finding((key,), "has no %s or {0} in place of the user name: it finds the same for everyone", "warning")
    else:
        severity: Severity = "warning" if PLACEHOLDER.search(text) else "error"
        message = f"{foreign[0]} is taken as it stands, and matches nobody: write %s or {{0}} for the user name"
        yield Finding((key,), message, severity)


def _refused(check: Callable[[str], object], text: str, *place: str | int) -> Iterator[Finding]:
    try:
        check(text)
    except (FilterError, DnError) as error:
        yield Finding(place, str(error))


def certificate_errors(
    authorities: Sequence[str | Path], certificates: Sequence[str | Path], keys: Sequence[str | Path]
) -> Iterator[tuple[str, str]]:
    """Key and reason for certificate files that cannot be used: ``root_ca_cert``, or ``client_cert`` with its key."""
    try:
        check_authorities(authorities)
    except TlsSettingsError as error:
        yield "root_ca_cert", str(error)
    if certificates and keys:
        try:
            check_identity(certificates[0], keys[0])
        except TlsSettingsError as error:
            yield "client_cert", str(error)


def _tls_findings(server: Server) -> Iterator[Finding]:
    certificates, keys = ([file] if file else [] for file in (server.client_cert, server.client_key))
    for key, error in certificate_errors(server.root_ca_cert, certificates, keys):
        yield Finding((key,), error)
    if not server.tls_ciphers or server.max_tls_version < server.min_tls_version:
        return
    oldest, newest = server.min_tls_version, server.max_tls_version
    _, ignored = tls_context(min_version=oldest, max_version=newest, ciphers=server.tls_ciphers)
    for message in ignored:
        yield Finding(("tls_ciphers",), f"{message}, ignored", "warning")
