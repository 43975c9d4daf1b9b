"""Bind passwords that must not go where an API has sent their servers (DECISIONS 15).

Who may write through an API says where a server is and how it is spoken to. The password that a file or the environment
gives for its service account is not theirs to send there, whichever of the two came first.
"""

from __future__ import annotations

from typing import Any, Final

from .layer import LayerTree
from .merge import live
from .origin import Given, Problems

_PASSWORD: Final = "bind_password"  # noqa: S105 - the name of a key
_DESTINATION: Final = (
    "host", "port", "urls", "use_ssl", "start_tls", "ssl_skip_verify", "min_tls_version", "max_tls_version",
    "tls_ciphers", "root_ca_cert", "root_ca_cert_value", "client_cert", "client_cert_value", "client_key",
    "client_key_value",
)  # fmt: skip
"""Keys that decide to whom, and how, the password is sent."""
_RESTS_ON_IT: Final = (("bind_mode", "service"), ("recheck", "service"))
"""Values that no server can have without a service account."""


def withhold_passwords(tree: LayerTree, problems: Problems) -> None:
    """Take such passwords out of a merged tree, each with a warning: their servers do without a service account.

    No error, because one server must not keep all others from starting.
    """
    servers = live(tree).get("servers")
    for name, server in live(servers).items() if isinstance(servers, LayerTree) else ():
        password = live(server).get(_PASSWORD) if isinstance(server, LayerTree) else None
        if not isinstance(password, Given) or not password.value or password.origin.kind == "stored":
            continue
        moved = [key for key in _DESTINATION if _moved(server.get(key))]
        if not moved:
            continue
        first = f"servers.{name}.{moved[0]}"
        message = (
            f"is not used, because {', '.join(moved)} was {server[moved[0]].origin}, who must not send it elsewhere: "
            f"give bindpass through the API, too, or drop what was stored: ldap-gateway config forget {first}"
        )
        problems.warn(password.origin, ("servers", name, _PASSWORD), message)
        del server[_PASSWORD]
        for key, value in _RESTS_ON_IT:
            if isinstance(given := server.get(key), Given) and given.value == value:
                del server[key]


def _moved(given: Any) -> bool:
    """Whether a value is an API's, and another one than would hold without it."""
    if not isinstance(given, Given) or given.origin.kind != "stored":
        return False
    below = given.overridden
    while below is not None and below.origin.kind == "stored":
        below = below.overridden
    return below is None or below.value != given.value
