"""The pools of all servers, kept over reloads: a server whose settings and certificates stay the same keeps its
connections, its counters and what it knows of its hosts.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.reading import CERTIFICATE_SIZE, SourceError, read_bytes
from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.connection import Endpoint
from gateway.directory.pool import Pool
from gateway.directory.tls import tls_context

if TYPE_CHECKING:
    from gateway.config.schema import Secret, Server

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Shared:
    """A pool, what it was made of, and how many hold it."""

    pool: Pool
    settings: dict[str, Any]
    certificates: bytes
    holders: int = 1


class Pools:
    """Gives the running pool of a server to everybody who asks with the same settings. For one event loop."""

    def __init__(self) -> None:
        self._shared: list[_Shared] = []

    async def acquire(self, server: Server) -> Pool:
        """The pool for these settings, held until ``release``: a running one, else a new one that was not started.

        Files with certificates count by what they hold; they are read in a thread. Raises ``TlsSettingsError``.
        """
        settings = _settings(server)
        certificates = await asyncio.to_thread(_certificates, server)
        for shared in self._shared:
            if shared.certificates == certificates and shared.settings == settings:
                shared.holders += 1
                shared.pool.try_again()
                return shared.pool
        pool = await make_pool(server)
        self._shared.append(_Shared(pool, settings, certificates))
        return pool

    def keep(self, server: Server) -> Pool | None:
        """The running pool for these settings, held until ``release``, whatever its files hold; None without one."""
        settings = _settings(server)
        shared = next((shared for shared in self._shared if shared.settings == settings), None)
        if shared is None:
            return None
        shared.holders += 1
        return shared.pool

    async def release(self, pool: Pool) -> None:
        """Let go of what ``acquire`` gave; the last one closes it."""
        shared = next(shared for shared in self._shared if shared.pool is pool)
        shared.holders -= 1
        if not shared.holders:
            self._shared.remove(shared)
            await pool.close()


async def make_pool(server: Server) -> Pool:
    """The connections to one server; certificate files are read in a thread. Raises ``TlsSettingsError``."""
    settings = _settings(server)
    _, password = settings.pop("tls"), settings.pop("bind_password")
    context = await make_tls_context(server)
    return Pool(tls_context=context, bind_password=password.reveal() if password else "", **settings)


def service_dn(server: Server) -> str:
    """The name of the service account; empty where people are searched as nobody, or as themselves."""
    return server.bind_dn if server.mode in ("service", "unauthenticated") else ""


async def make_tls_context(server: Server) -> ssl.SSLContext | None:
    """What its connections are made safe with, read in a thread; None where no host wants TLS.

    Raises ``TlsSettingsError``.
    """
    if not _with_tls(server):
        return None
    return await asyncio.to_thread(_tls_context, server.name, _tls_settings(server))


def _settings(server: Server) -> dict[str, Any]:
    """All that a pool is made of, but the content of files. The password stays a ``Secret``."""
    endpoints = tuple(Endpoint(*endpoint) for endpoint in server.endpoints)
    return {
        "endpoints": endpoints,
        "tls": _tls_settings(server) if _with_tls(server) else None,
        "bind_dn": service_dn(server),
        "bind_password": server.bind_password if server.mode == "service" else None,
        "service": server.mode in SEARCH_MODES,
        "binds": server.pool.binds,
        "idle_seconds": server.pool.idle,
        "backoff_seconds": server.pool.backoff,
        "probe_seconds": server.pool.probe,
        "connect_timeout": server.timeout or 10.0,
        "request_timeout": server.request_timeout,
        "max_message": server.pool.max_message,
        "max_entries": server.pool.max_entries,
        "name": server.name,
    }


def _with_tls(server: Server) -> bool:
    return any(tls != "none" for _, _, tls in server.endpoints)


def _tls_settings(server: Server) -> dict[str, Any]:
    return {
        "ca_files": server.root_ca_cert,
        "skip_verify": server.ssl_skip_verify,
        "client_cert": server.client_cert or "",
        "client_key": server.client_key or "",
        "ca_text": server.root_ca_cert_value,
        "client_cert_text": server.client_cert_value,
        "client_key_text": server.client_key_value,
        "min_version": server.min_tls_version,
        "max_version": server.max_tls_version,
        "ciphers": server.tls_ciphers,
    }


def _tls_context(name: str, tls: dict[str, Any]) -> ssl.SSLContext:
    key: Secret = tls["client_key_text"]
    context, ignored = tls_context(**{**tls, "client_key_text": key.reveal()})
    for text in ignored:
        log.warning("server %s: %s", name, text)
    return context


def _certificates(server: Server) -> bytes:
    """A hash over what the files hold that a TLS context is made of; one that cannot be read counts as empty.

    It is taken before the context is made. What changes in between makes a new pool at the next reload, never none.
    """
    total = hashlib.sha256()
    for path in _certificate_files(server) if _with_tls(server) else ():
        try:
            data = read_bytes(path, CERTIFICATE_SIZE)
        except SourceError:
            data = b""
        total.update(hashlib.sha256(data).digest())
    return total.digest()


def _certificate_files(server: Server) -> list[Path]:
    """In order. Without authorities of its own a server trusts those of the system, which are updated too."""
    system = ssl.get_default_verify_paths().cafile
    own = server.root_ca_cert or server.root_ca_cert_value
    authorities = server.root_ca_cert if own else ((Path(system),) if system else ())
    return [*authorities, *(path for path in (server.client_cert, server.client_key) if path)]
