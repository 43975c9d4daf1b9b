"""What a failure most likely comes from, and which key of the server to look at. Pure; ``explain`` uses it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.origin import GRAFANA_DEFAULT
from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.account_state import State
from gateway.directory.doctor.root_dse import filter_attributes

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Report

SET_ACCOUNT = "nobody in particular may search there: set bind_dn and bind_password"
"""Where people are searched without an account of one's own, and the directory does not show them."""


def with_limits(text: str, server: Server) -> str:
    """The text of a time-out with how long it was, and the key that says so."""
    connecting = f"within timeout ({server.timeout or 10.0:g} s)"
    limits = {
        "no answer in time": f"no answer within request_timeout ({server.request_timeout:g} s)",
        "no connection in time": f"no connection {connecting}",
        "not resolved in time": f"not resolved {connecting}",
        "no TLS in time": f"no TLS {connecting}",
    }
    for told, exact in limits.items():
        text = text.replace(told, exact)
    return text


def address_key(server: Server) -> str:
    """The key that says which hosts there are."""
    return "urls" if server.urls else "host"


def connection_key(server: Server, text: str) -> str:
    """The key behind a connection that fails as ``text`` says."""
    told = text.lower()
    if "certificate refused" in told and any(words in told for words in _UNTRUSTED):
        return "root_ca_cert"
    if "starttls" in told:
        return "start_tls"
    if "tls" in told and "certificate" not in told:
        return address_key(server) if server.urls else "use_ssl"
    if "was refused" in told:
        return "bind_dn"
    return address_key(server)


_UNTRUSTED = ("issuer", "self-signed", "self signed", "signature", "root_ca_cert")


def base_key(server: Server, base: str) -> str:
    """The key that names ``base``."""
    return "search_base_dns" if base in server.user_bases else "group_search_base_dns"


def set_tls(server: Server) -> tuple[str, str]:
    """What to do about a port that speaks TLS from the first octet and is not asked to, and the key."""
    if server.urls:
        return "write ldaps:// in place of ldap://" + (", and unset start_tls" if server.start_tls else ""), "urls"
    if server.start_tls:
        return "set use_ssl in place of start_tls", "start_tls"
    return "set use_ssl", "use_ssl"


def bound_by(server: Server) -> str:
    """The key that makes the name to bind with, where that is done first; empty elsewhere."""
    return {"single": "bind_dn", "upn": "upn_domain", "direct": "user_dn"}.get(server.mode, "")


def set_preset(report: Report, preset: str) -> str:
    """To set another preset; an ``ldap.toml`` stays as Grafana has it, so there it goes into a further file."""
    told = f'set preset = "{preset}"'
    if report.origin("require_mapping") != str(GRAFANA_DEFAULT):
        return told
    return f'{told} in a further file: servers = [{{ name = "{report.server}", preset = "{preset}" }}]'


def names_a_bar(text: str) -> bool:
    """Whether ``text`` says that the directory bars the account."""
    return any(state.value in text for state in State)


def cause_first(server: Server, reason: str) -> str:
    """Why a bind as a person was refused, with the directory's own words at the end (RFC 4511 appendix A)."""
    if not reason.startswith("bind refused: "):
        return reason
    raw, _, cause = reason.rpartition("; ")
    if raw and cause.startswith(tuple(state.value for state in State)):
        return f"{cause}: {raw}"
    if reason.startswith(_WRONG_PASSWORD):
        return f"wrong password{' or name' if bound_by(server) else ''}: {reason}"
    return reason


_WRONG_PASSWORD = tuple(f"bind refused: {code} " for code in (32, 34, 49))


def typed_name(server: Server, typed: str) -> str:
    """What may be wrong with a name as it was typed; empty for one without a domain."""
    plain, domain = typed.rpartition("\\")[2], "\\" in typed
    if not domain and "@" in typed:
        plain, domain = typed.partition("@")[0], not _compares_addresses(server)
    if not domain or not plain:
        return ""
    if server.mode == "upn":
        return f"the name was typed with a domain, and @{server.upn_domain} is put behind it: log in as {plain}"
    place = "search_filter compares" if server.mode in SEARCH_MODES else "the name to bind with is made of"
    other = "" if server.mode not in SEARCH_MODES or "\\" in typed else _or_by_address(server)
    return f"{place} all of {typed}: log in as {plain}{other}"


def _compares_addresses(server: Server) -> bool:
    addresses = {"mail", "userprincipalname", *map(str.lower, server.attributes.emails)}
    return not addresses.isdisjoint(map(str.lower, filter_attributes(server.search_filter)))


def _or_by_address(server: Server) -> str:
    attribute = "userPrincipalName" if server.preset == "active_directory" else next(iter(server.attributes.emails), "")
    return f", or let search_filter compare ({attribute}=%s) too" if attribute else ""
