"""What a server's configuration says and can hardly mean: warnings, found without the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from gateway.directory.account import DN_ATTRIBUTE
from gateway.directory.escape import DnError, parse_dn
from gateway.directory.group_names import DN_VALUED

from .schema import Server
from .schema.address import Endpoint
from .schema.presets import PRESETS
from .schema.section import Finding
from .schema.servers import PLACEHOLDER

NO_GROUP: Final = "no-group.invalid"
"""``group_dn`` of a Grafana mapping without one: Grafana loads it and it matches nobody. Without it the file would have
fewer mappings, and with none left everyone would be let in."""
NO_HOST: Final = "no-host.invalid"
"""Host of a Grafana block without one: Grafana loads it and then cannot connect. RFC 6761 6.4: never resolves."""
_TLS_PORTS: Final = {636: "LDAPS", 3269: "LDAPS of a global catalogue"}
_ONLY_WITH_TLS: Final = (
    "root_ca_cert", "root_ca_cert_value", "client_cert", "client_cert_value",
    "min_tls_version", "max_tls_version", "tls_ciphers",
)  # fmt: skip
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")
_MEMBERS: Final = re.compile(r"\((member|uniqueMember)(?::[\w.:]*)?=(%s|\{0\})\)", re.ASCII | re.IGNORECASE)
"""Part of a group filter that compares an attribute of DNs with what ``%s`` puts in."""
_DN_OF_PERSON: Final = frozenset({DN_ATTRIBUTE, "distinguishedname", "entrydn"})


def doubtful(server: Server) -> Iterator[Finding]:
    """Findings of severity ``warning`` alone."""
    try:
        endpoints = server.endpoints
    except ValueError:
        endpoints = ()
    yield from _address_findings(server, endpoints)
    if endpoints and all(tls == "none" for _, _, tls in endpoints):
        yield from _without_tls(server)
    yield from _name_findings(server)
    yield from _group_findings(server)


def _address_findings(server: Server, endpoints: tuple[Endpoint, ...]) -> Iterator[Finding]:
    """A port of LDAPS answers nothing in clear, so that no password comes to be seen there."""
    place = "urls" if server.urls else "host"
    for port in dict.fromkeys(port for _, port, tls in endpoints if tls != "ldaps" and port in _TLS_PORTS):
        advice = "write ldaps://" if server.urls else "set use_ssl" + (" without start_tls" if server.start_tls else "")
        message = f"{port} is the port of {_TLS_PORTS[port]}, and the connection begins without TLS: {advice}"
        rests_on = (("use_ssl",), ("start_tls",), (place,))
        yield Finding(("port" if server.port else place,), message, "warning", rests_on=rests_on)
    in_clear = [host for host, port, tls in endpoints if tls == "none" and port not in _TLS_PORTS]
    if far := list(dict.fromkeys(host for host in in_clear if not _stays_here(host))):
        message = f"passwords cross the network to {', '.join(far)} in clear text: set start_tls, or "
        message += "write ldaps://" if server.urls else "use_ssl"
        yield Finding((place,), message, "warning", rests_on=(("use_ssl",), ("start_tls",)))


def _stays_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == NO_HOST or host.lower().rstrip(".").rpartition(".")[2] == "localhost"  # RFC 6761 6.3


def _without_tls(server: Server) -> Iterator[Finding]:
    given = server.model_fields_set
    for key in _ONLY_WITH_TLS:
        value = getattr(server, key)
        if key in given and value and value != PRESETS[server.preset].get(key):
            message = "has no effect: neither start_tls nor use_ssl is set, nor an ldaps:// URL given"
            rests_on = ((key,), ("start_tls",), ("use_ssl",), ("urls",), ("host",))
            yield Finding((key,), message, "warning", rests_on=rests_on)


def _name_findings(server: Server) -> Iterator[Finding]:
    if _CONTROL.search(server.bind_dn):
        message = "holds a control character: within double quotes a backslash is written twice, as in EXAMPLE\\\\name"
        yield Finding(("bind_dn",), message, "warning")
    found = PLACEHOLDER.search(server.bind_dn)
    if found is not None and server.mode == "service":
        placeholder = "{{.Username}}" if found[0] == "{{" else found[0]
        message = f"has {placeholder}, but bind_password is given: the service account's name is taken literally"
        yield Finding(("bind_dn",), message, "warning", rests_on=(("bind_password",), ("bind_mode",)))


def _group_findings(server: Server) -> Iterator[Finding]:
    found = _MEMBERS.search(server.group_search_filter)
    attribute = server.group_search_filter_user_attribute
    if found is not None and attribute.lower() not in _DN_OF_PERSON:
        message = f"{found[1]} holds DNs, and {found[2]} puts in {attribute}: write {{{{.UserDN}}}} for it"
        rests_on = (("group_search_filter_user_attribute",), ("attributes", "username"))
        yield Finding(("group_search_filter",), message, "warning", rests_on=rests_on)
    if server.attributes.member_of.lower() not in DN_VALUED | {""}:
        return  # mappings are compared with the values of that attribute (grafana.md 2.5)
    for index, mapping in enumerate(server.group_mappings):
        if mapping.group_dn not in ("", "*", NO_GROUP) and not _is_dn(mapping.group_dn):
            message = "is no DN, and the groups of this server are compared by their DNs: it matches nobody"
            place = ("group_mappings", index, "group_dn")
            yield Finding(place, message, "warning", rests_on=(("attributes", "member_of"),))


def _is_dn(text: str) -> bool:
    try:
        return bool(parse_dn(text))
    except DnError:
        return False
