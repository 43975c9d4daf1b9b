"""What a directory answered, or why there is no answer, in words for the operator. Pure."""

from __future__ import annotations

import errno
import os
import ssl
from typing import Final

from gateway.directory.messages import Result, plain_text, result_name

_CERTIFICATE_ADVICE: Final = dict.fromkeys((7, 18, 19, 20, 21), " (set root_ca_cert)") | dict.fromkeys(
    (62, 64), " (name the server in host or urls as its certificate does)"
)
"""By OpenSSL's verify codes: an issuer that is not trusted (7: one of its name is), another host, another address."""
_TLS_ADVICE: Final = (
    ("wrong version number", "no TLS is spoken there: check use_ssl, start_tls and port"),
    ("certificate required", "set client_cert and client_key"),
    ("", "check min_tls_version, max_tls_version and tls_ciphers"),
)
"""By words in the reasons of OpenSSL, the first that fits."""


def answer_of(result: Result) -> str:
    """A result as operators read it: ``49 invalidCredentials (the directory's own text)``."""
    return result_name(result.code) + (f" ({result.message})" if result.message else "")


def reason_of(error: BaseException, *, in_tls: bool = False) -> str:
    """What an operator can use of an exception of the socket or TLS layer; ``in_tls``: of the handshake.

    Some servers (GnuTLS) hang up where nothing can be agreed on, and say no word about it.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}{_CERTIFICATE_ADVICE.get(error.verify_code, '')}"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ConnectionResetError):
        where = f" in the TLS handshake ({_TLS_ADVICE[-1][1]})" if in_tls else ""
        return f"connection reset by the other side{where}"
    if isinstance(error, ssl.SSLError):
        told = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS failed: {told} ({next(advice for words, advice in _TLS_ADVICE if words in told)})"
    if isinstance(error, OSError) and error.errno and error.errno in errno.errorcode:
        return os.strerror(error.errno)  # asyncio's own text says "Connect call failed" for all of them
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def without_password(message: str, password: str) -> str:
    """A directory's text as it is, unless it repeats the password, in whatever case."""
    repeated = bool(message and password) and plain_text(password).casefold() in message.casefold()
    return "a text that repeats the password, not shown" if repeated else message
