"""What can be checked about the servers without the network: filters, DNs, certificate files. Reads files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.directory.escape import DnError, parse_dn
from gateway.directory.filters import FilterError, compile_filter
from gateway.directory.templates import DnTemplate
from gateway.directory.tls import TlsSettingsError, tls_context

from .schema import Configuration, Server
from .schema.section import Finding
from .schema.servers import PLACEHOLDER


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
    yield from _tls_findings(server)


def _filter_findings(key: str, text: str) -> Iterator[Finding]:
    if not text:
        return
    refused = list(_refused(compile_filter, text, key))
    yield from refused
    if not refused and PLACEHOLDER.search(text) is None:
        yield Finding((key,), "has no %s or {0} in place of the user name: it finds the same for everyone", "warning")


def _refused(check: Callable[[str], object], text: str, *place: str | int) -> Iterator[Finding]:
    try:
        check(text)
    except (FilterError, DnError) as error:
        yield Finding(place, str(error))


def _tls_findings(server: Server) -> Iterator[Finding]:
    if not (server.root_ca_cert or server.client_cert or server.tls_ciphers):
        return
    try:
        _, ignored = tls_context(
            ca_files=server.root_ca_cert,
            skip_verify=server.ssl_skip_verify,
            client_cert=server.client_cert or "",
            client_key=server.client_key or "",
            min_version=server.min_tls_version,
            max_version=server.max_tls_version,
            ciphers=server.tls_ciphers,
        )
    except TlsSettingsError as error:
        yield Finding(("root_ca_cert" if server.root_ca_cert else "client_cert",), str(error))
    else:
        for message in ignored:
            yield Finding(("tls_ciphers",), f"{message}, ignored", "warning")
