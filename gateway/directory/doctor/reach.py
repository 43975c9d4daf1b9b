# ruff: noqa: ASYNC109 - one attempt has a deadline of its own
"""Tries one address of a host as far as TLS goes, and tells each part apart. Nothing of a login is ever sent."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.directory.ber import ProtocolError, frame
from gateway.directory.connection import DirectoryError, Endpoint, Unreachable, answer_of, reason_of
from gateway.directory.messages import (
    START_TLS,
    Result,
    decode_operation,
    envelope,
    extended_request,
    open_envelope,
)

_MAX_ANSWER: Final = 64 * 1024


@dataclass(slots=True)
class Attempt:
    """How far one attempt came."""

    endpoint: Endpoint
    address: str
    tcp_seconds: float | None = None
    """None: no connection."""
    tls_seconds: float | None = None
    """Handshake, StartTLS included. None: none, or it failed."""
    error: str = ""
    """Why it went no further; empty when all went well."""
    wants_tls_first: bool = False
    """After StartTLS failed: whether the port speaks TLS from the first octet."""
    refused: ssl.SSLCertVerificationError | None = None
    """Why the certificate was refused."""
    version: str = ""
    """Such as ``TLSv1.3``."""
    cipher: str = ""
    chain: tuple[bytes, ...] = ()
    """The certificates that the server sent, its own first (DER)."""


async def attempt(endpoint: Endpoint, address: str, context: ssl.SSLContext | None, timeout: float) -> Attempt:
    """Connect, upgrade to TLS where the endpoint wants it, and hang up; all within ``timeout`` seconds. Never raises
    but for cancellation.
    """
    made = Attempt(endpoint, address)
    writer: asyncio.StreamWriter | None = None
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(address, endpoint.port)
            made.tcp_seconds = time.perf_counter() - started
            if endpoint.tls != "none" and context is not None:
                await _tls(made, reader, writer, context)
    except ssl.SSLCertVerificationError as error:
        made.refused, made.error = error, reason_of(error)
    except DirectoryError as error:
        made.error = str(error)
    except (OSError, EOFError, ValueError) as error:  # ValueError: a name that no certificate can have
        made.error = _told(error, made)
    finally:
        if writer is not None:
            writer.transport.abort()
            await asyncio.sleep(0)
    return made


async def speaks_tls(endpoint: Endpoint, address: str, timeout: float) -> bool:
    """Whether a handshake from the first octet succeeds there, whatever the certificate; nothing is sent in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    made = await attempt(replace(endpoint, tls="ldaps"), address, context, timeout)
    return made.tls_seconds is not None


def _told(error: BaseException, made: Attempt) -> str:
    """What happened; a deadline that passed tells in what."""
    if isinstance(error, EOFError):
        return "connection closed by the directory"
    if isinstance(error, TimeoutError) and made.tcp_seconds is not None:
        return "connected, but the directory is silent: no TLS in time"
    return reason_of(error)


async def _tls(
    made: Attempt, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    started = time.perf_counter()
    if made.endpoint.tls == "starttls":
        await _ask_for_tls(reader, writer)
    await writer.start_tls(context, server_hostname=made.endpoint.address)
    made.tls_seconds = time.perf_counter() - started
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    made.version, made.cipher = tls.version() or "", (tls.cipher() or ("",))[0]
    made.chain = _chain(tls)


async def _ask_for_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """StartTLS (RFC 4511 4.14.1). Raises DirectoryError and EOFError."""
    writer.write(envelope(1, extended_request(START_TLS)))
    data, begin, end = b"", 0, 0
    while not 0 < end <= len(data):
        more = await reader.read(4096)
        if not more:
            raise EOFError
        data += more
        begin, end = frame(data, 0, len(data), _MAX_ANSWER)
    if end != len(data):
        raise ProtocolError("octets in clear behind the answer to StartTLS")
    _, tag, start, stop = open_envelope(data, begin, end)
    answer = decode_operation(data, tag, start, stop)
    if not isinstance(answer, Result) or answer.code:
        raise Unreachable(f"StartTLS refused: {answer_of(answer)}" if isinstance(answer, Result) else "no StartTLS")


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Before Python 3.13 only the layer below tells more than the server's own certificate."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain())
    below: Any = getattr(tls, "_sslobj", None)
    told = getattr(below, "get_unverified_chain", None)
    if told is not None and (certificates := told()):
        return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in certificates)
    own = tls.getpeercert(binary_form=True)
    return (own,) if own else ()
