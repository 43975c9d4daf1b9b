"""What can be checked about the servers without the network: filters, DNs, certificate files. Reads files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gateway.directory.escape import DnError, parse_dn
from gateway.directory.filters import FilterError, compile_filter
from gateway.directory.groups import GROUP_VARIABLES
from gateway.directory.people import USER_VARIABLES
from gateway.directory.templates import direct_name, single_name
from gateway.directory.tls import TlsSettingsError, check_authorities, check_identity, tls_context

from .advice import doubtful
from .schema import Configuration, Server
from .schema.section import Finding
from .schema.servers import PLACEHOLDER

_FOREIGN: Final = re.compile(r"[%$]?\{(?!0\})\w*\}")
"""Placeholders of other programs: ``{username}``, ``${username}``, ``%{user}``."""


def server_findings(configuration: Configuration, *, files: bool = True) -> Iterator[Finding]:
    """Findings about all servers, with places from the root; without ``files`` no file of certificates is opened."""
    for index, server in enumerate(configuration.servers):
        for finding in (*_of_server(server, files=files), *doubtful(server)):
            yield finding.below("servers", index)


def sync_findings(configuration: Configuration) -> Iterator[Finding]:
    """What is wrong with what ``conjur sync-policy`` searches by."""
    sync, place = configuration.conjur.sync, ("conjur", "sync")
    for key in ("user_filter", "group_filter"):
        text = getattr(sync, key)
        try:
            if text and compile_filter(text, ()).variables:
                yield Finding((*place, key), "holds %s or {0}, and there is no user name to put there: write *")
        except FilterError as error:
            yield Finding((*place, key), str(error))
    for index, base in enumerate(sync.base_dns):
        yield from _refused(parse_dn, base, *place, "base_dns", index)


def _of_server(server: Server, *, files: bool) -> Iterator[Finding]:
    yield from _filter_findings("search_filter", server.search_filter, USER_VARIABLES, server.user_attr)
    yield from _filter_findings("group_search_filter", server.group_search_filter, GROUP_VARIABLES)
    bases = () if server.search_base_dns == (server.user_dn,) else server.search_base_dns
    for key, dns in (("search_base_dns", bases), ("group_search_base_dns", server.group_search_base_dns)):
        for place, base in enumerate(dns):
            yield from _refused(parse_dn, base, key, place)
    if server.mode == "single" and PLACEHOLDER.search(server.bind_dn):
        yield from _refused(single_name, server.bind_dn, "bind_dn")
    if server.user_dn:
        yield from _refused(lambda text: direct_name(server.user_attr, text), server.user_dn, "user_dn")
    if len(bases) > 1 and all(len(base) == 1 for base in _parsed(bases)):
        message = "has one component in each item: where one DN was meant, write it in quotes"
        yield Finding(("search_base_dns",), message, "warning")
    yield from _tls_findings(server, files=files)


def _parsed(texts: Sequence[str]) -> Iterator[Sequence[object]]:
    for text in texts:
        with suppress(DnError):
            yield parse_dn(text)


def _filter_findings(key: str, text: str, variables: Sequence[str], user_attr: str = "") -> Iterator[Finding]:
    if not text:
        return
    try:
        compiled = compile_filter(text, variables, user_attr)
    except FilterError as error:
        yield Finding((key,), str(error), rests_on=(("user_attr",),) if user_attr else ())
        return
    foreign = _FOREIGN.search(text)
    if foreign is None and not compiled.variables:
        yield Finding((key,), "has no %s or {0} in place of the user name: it finds the same for everyone", "warning")
    elif foreign is not None and not compiled.variables:
        message = f"{foreign[0]} is taken as it stands, and matches nobody: write %s or {{0}} for the user name"
        yield Finding((key,), message)


def _refused(check: Callable[[str], object], text: str, *place: str | int) -> Iterator[Finding]:
    try:
        check(text)
    except DnError as error:
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


def _tls_findings(server: Server, *, files: bool) -> Iterator[Finding]:
    certificates, keys = ([file] if file else [] for file in (server.client_cert, server.client_key))
    if files:
        for key, error in certificate_errors(server.root_ca_cert, certificates, keys):
            yield Finding((key,), error)
    if files or not (certificates or keys):
        yield from _inline_findings(server)
    if not server.tls_ciphers or server.max_tls_version < server.min_tls_version:
        return
    oldest, newest = server.min_tls_version, server.max_tls_version
    _, ignored = tls_context(min_version=oldest, max_version=newest, ciphers=server.tls_ciphers)
    for message in ignored:
        yield Finding(("tls_ciphers",), f"{message}, ignored", "warning")


def _inline_findings(server: Server) -> Iterator[Finding]:
    """About certificates that stand in the configuration itself, alone or with a file for the other half."""
    if server.root_ca_cert_value:
        yield from _unusable_tls("root_ca_cert_value", ca_text=server.root_ca_cert_value)
    texts = (server.client_cert_value, server.client_key_value.reveal())
    files = (server.client_cert, server.client_key)
    if any(texts) and all(text or file for text, file in zip(texts, files, strict=True)):
        key = "client_cert_value" if texts[0] else "client_key_value"
        by_file = {"client_cert": files[0] or "", "client_key": files[1] or ""}
        yield from _unusable_tls(key, **by_file, client_cert_text=texts[0], client_key_text=texts[1])


def _unusable_tls(key: str, **settings: Any) -> Iterator[Finding]:
    try:
        tls_context(**settings)
    except TlsSettingsError as error:
        yield Finding((key,), str(error))
