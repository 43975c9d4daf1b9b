"""What a proxy asks about: from the values of its headers to one target (forward-auth.md 3).

Each endpoint reads one family of headers and no other: an endpoint that "tries the other family" believes what the
client sent. Nothing is taken from the request that carries the question, and nothing is matched before it is clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from .hosts import DEFAULT_PORTS, MalformedHost, parse_authority

LONGEST_PATH: Final = 4096
"""Characters of a path, undecoded; what the rules search needs a bound."""
MOST_PARAMETERS: Final = 1000
"""Parameters of a query; rules may want to see each."""
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
_SCHEMES: Final = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_URL: Final = re.compile(r"([A-Za-z]{2,5})://([^/?#]*)(.*)", re.DOTALL)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}", re.ASCII)
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\#]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_AMBIGUOUS: Final = re.compile(r"%2[ef]|;|%3b", re.IGNORECASE)
"""What proxies and applications read in different ways."""
_PARAMETERS: Final = re.compile(r";[^/]*")
_SEPARATORS: Final = re.compile("[&;]")
_NOTHING: Final = re.compile(r"/(?:\.?/)*(?:\.$)?")
"""A slash with the empty and ``.`` segments behind it."""
_PARENT: Final = re.compile(r"(?:^|/)\.\.(?:/|$)")
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?", re.ASCII)
"""Paths in which there is nothing to decode and nothing to clean."""


class Malformed(ValueError):
    """A request that says nothing a decision can be made on; the text says why and never repeats it."""


class Misconfigured(Malformed):
    """The same, where that is the proxy's doing: what it was set up to send, or for which targets it asks."""


@dataclass(frozen=True, slots=True)
class Target:
    """One request as the rules see it."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """In its one form (see ``hosts``); IPv6 in brackets."""
    port: int | None
    """None where it is the scheme's own."""
    path: str
    """Decoded once and cleaned."""
    variants: tuple[str, ...]
    """Other ways in which an application may read the path; the strictest decision of all counts."""
    query: str
    """Undecoded, without ``?``."""
    method: str
    uri: str
    """Path and query as received, but for octets beyond ASCII, which are percent-encoded."""

    @property
    def url(self) -> str:
        """The whole URL, for the way back after a login."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.uri}"


def auth_request_target(url: Sequence[str], method: Sequence[str], *, insecure: bool = False) -> Target:
    """The target that nginx names by all lines of ``X-Original-URL`` and ``X-Original-Method``.

    ``insecure`` allows ``http``. Raises Malformed.
    """
    found = _URL.fullmatch(_single("X-Original-URL", url))
    if found is None:
        raise Misconfigured("X-Original-URL is not scheme://host/path")
    return _target(_single("X-Original-Method", method), found[1], found[2], found[3], insecure=insecure)


def forward_auth_target(
    method: Sequence[str], scheme: Sequence[str], host: Sequence[str], uri: Sequence[str], *, insecure: bool = False
) -> Target:
    """The target that Traefik, Caddy and HAProxy name by all lines of ``X-Forwarded-Method``, ``-Proto``, ``-Host`` and
    ``-Uri``. ``insecure`` allows ``http``. Raises Malformed.
    """
    return _target(
        _single("X-Forwarded-Method", method),
        _single("X-Forwarded-Proto", scheme),
        _single("X-Forwarded-Host", host),
        _single("X-Forwarded-Uri", uri),
        insecure=insecure,
    )


def ext_authz_target(
    method: str, scheme: Sequence[str], host: Sequence[str], uri: str, *, insecure: bool = False
) -> Target:
    """The target that Envoy names by its own request: the method, all lines of ``X-Forwarded-Proto`` and ``Host``, and
    what follows the endpoint's prefix in the raw request target. ``insecure`` allows ``http``. Raises Malformed.
    """
    return _target(
        method, _single("X-Forwarded-Proto", scheme), _single("Host", host), uri or "/", insecure=insecure
    )


def _single(name: str, lines: Sequence[str]) -> str:
    """The one value of a header. The client may have sent a second line, and nobody knows which the proxy meant."""
    value = lines[0] if lines else ""
    if not value:
        raise Misconfigured(f"{name} is missing")
    if len(lines) > 1 and any(line != value for line in lines):
        raise Malformed(f"{name} is there twice")
    return value


def _target(method: str, scheme: str, authority: str, uri: str, *, insecure: bool) -> Target:
    if _METHOD.fullmatch(method) is None:
        raise Malformed("the method is not a word in capitals")
    known = _SCHEMES.get(scheme.lower())
    if known is None:
        raise Misconfigured("the scheme is none of https, http, wss, ws")
    if known == "http" and not insecure:
        raise Misconfigured("the target is not https (access_control.allow_insecure_targets)")
    try:
        host, port = parse_authority(authority)
    except MalformedHost as error:
        raise Malformed(str(error)) from None
    uri = _checked(uri)
    raw_path, _, query = uri.partition("?")
    path, *variants = _readings(raw_path)
    written_port = None if port == DEFAULT_PORTS[known] else port
    return Target(known, host, written_port, path, tuple(variants), query, method, uri)


def _checked(uri: str) -> str:
    """A raw URI that can be decoded, in ASCII. Raises Malformed."""
    if not uri.startswith("/"):
        raise Malformed("the URI does not start with /")
    if _FORBIDDEN.search(uri):
        raise Malformed("the URI has a control character, a space, # or a backslash")
    if "%" in uri and _BAD_ESCAPE.search(uri):
        raise Malformed("the URI has a percent sign without two hexadecimal digits")
    if len(_SEPARATORS.findall(uri.partition("?")[2])) >= MOST_PARAMETERS:
        raise Malformed("the URI has too many parameters")
    if uri.isascii():
        return uri
    try:
        octets = uri.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Malformed("the URI is not valid text") from None
    return quote(octets, safe="!\"#$%&'()*+,/:;<=>?@[]^_`{|}~")


def _readings(raw: str) -> Iterator[str]:
    """The path for the rules, then what else an application may take it for, each once. Raises Malformed."""
    if len(raw) > LONGEST_PATH:
        raise Malformed("the path is too long")
    if _PLAIN.fullmatch(raw):
        yield raw
        return
    decoded = _decoded(raw)
    readings = [*_resolved(decoded)]
    if _AMBIGUOUS.search(raw):
        for text in dict.fromkeys((raw, _PARAMETERS.sub("", raw))):
            before = [*_resolved(text)]
            readings += [*_resolved(_decoded(text)), text, *before, *map(_decoded, before)]
        readings += _resolved(_PARAMETERS.sub("", decoded))
    yield from dict.fromkeys(readings)


def _decoded(raw: str) -> str:
    if "%" not in raw:
        return raw
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the path is not valid UTF-8") from None
    if _CONTROL.search(text):
        raise Malformed("the path has an encoded control character or backslash")
    if _ESCAPE.search(text):
        raise Malformed("the path is encoded twice")
    return text


def _resolved(path: str) -> Iterator[str]:
    """The path clean, then what else an application may make of its ``..`` segments: proxies hand them on as they came.

    Many routers know no ``..`` and take it for a name; others resolve it before they collapse slashes, so that it takes
    an empty segment along and nothing else.
    """
    collapsed = _NOTHING.sub("/", path)
    yield _without_dots(collapsed)
    if _PARENT.search(path):
        yield collapsed
        yield _NOTHING.sub("/", _without_dots(path))


def _without_dots(path: str) -> str:
    """Without ``.`` and ``..`` segments, of which each of the latter takes the one before it along (RFC 3986 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
