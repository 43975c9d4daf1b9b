"""The types of configuration values (configuration.md 1.1).

Each type is a pydantic annotation that carries a ``Form``, the word by which the environment reader knows how a
variable's text becomes a value. Validators take what a file gives (text, number, truth value, list) and never guess: a
number where text is expected is an error that says to quote it, because ``012345`` has already lost its zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SerializerFunctionWrapHandler, WrapSerializer
from pydantic_core import PydanticCustomError

from gateway.access.client_address import parse_network
from gateway.access.hosts import parse_authority

from .address import Address, TcpAddress, UnixAddress, parse_address
from .secret import Secret
from .units import LARGEST_INT, parse_duration, parse_interval, parse_size

__all__ = [
    "Address",
    "Addresses",
    "AuditTarget",
    "Duration",
    "ExactTexts",
    "Flag",
    "Form",
    "Int",
    "Interval",
    "Items",
    "KeyedBy",
    "LinkUrl",
    "Network",
    "Networks",
    "OptionalFlag",
    "OptionalPath",
    "PathText",
    "Paths",
    "Ports",
    "Secret",
    "SecretText",
    "Size",
    "StoreUrl",
    "Subjects",
    "TcpAddress",
    "Text",
    "Texts",
    "TlsVersion",
    "UnixAddress",
    "WebOrigins",
    "WebUrl",
    "conditions",
    "matching",
    "no_items",
]

T = TypeVar("T")
Network = IPv4Network | IPv6Network


class Form(StrEnum):
    """How a value is written; the environment reader goes by it (DECISIONS 23)."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - the name of a form
    FLAG = "true or false"
    INT = "whole number"
    DURATION = "duration"
    SIZE = "size"
    PATH = "path"
    TEXTS = "list of texts"
    EXACT_TEXTS = "list of texts that may contain commas"
    SUBJECTS = "list of subjects, or of lists of them"
    CONDITIONS = "list of conditions, or of lists of them"
    PATHS = "list of paths"
    ADDRESSES = "list of addresses"
    AUDIT = "stderr, off or file:PATH"

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of items that are no tables of their own."""
        lists = (Form.TEXTS, Form.EXACT_TEXTS, Form.SUBJECTS, Form.CONDITIONS, Form.PATHS, Form.ADDRESSES)
        return self in lists

    @property
    def takes_commas(self) -> bool:
        """Whether a variable may separate the items by commas."""
        return self in (Form.TEXTS, Form.ADDRESSES)


class KeyedBy:
    """Marks a list of tables with the key field by which layers merge and paths address its items."""

    def __init__(self, field: str) -> None:
        self.field = field


def _error(message: str) -> PydanticCustomError:
    return PydanticCustomError("value", "{message}", {"message": message})


def _guard(parse: Callable[[Any], T]) -> Callable[[object], T]:
    """Let a parser's ``ValueError`` be the whole message, without pydantic's own words around it."""

    def run(value: object) -> T:
        try:
            return parse(value)
        except ItemError as error:
            raise PydanticCustomError("value", "{message}", {"message": str(error), "item": error.index}) from None
        except ValueError as error:
            raise _error(str(error)) from None

    return run


def matching(pattern: str, words: str) -> AfterValidator:
    """A check that a text as a whole has a form, which ``words`` describe."""
    form = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if form.fullmatch(text) is None:
            raise _error(f"expected {words}")
        return text

    return AfterValidator(check)


class ItemError(ValueError):
    """An item of a list cannot be used; ``index`` is that of the first one."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def _every(parse: Callable[[str], T], items: Sequence[str]) -> tuple[T, ...]:
    """Every item parsed.

    :raises ItemError: naming each item that cannot be; where there are several, by its position, from 1.
    """
    parsed: list[T] = []
    refused: dict[int, str] = {}
    for index, item in enumerate(items):
        try:
            parsed.append(parse(item))
        except ValueError as error:
            refused[index] = f"item {index + 1}: {error}" if len(items) > 1 else str(error)
    if refused:
        raise ItemError("; ".join(refused.values()), next(iter(refused)))
    return tuple(parsed)


_PORT = re.compile(r"\d{1,5}", re.ASCII)
_NO_TEXT = re.compile("[\ud800-\udfff\0]")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text; write it in quotes")
    if _NO_TEXT.search(value):
        raise ValueError("not valid UTF-8 text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("expected a whole number")
    if abs(value) > LARGEST_INT:
        raise ValueError(f"expected a whole number of at most {LARGEST_INT}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one text for a list of one."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("expected a list of texts in quotes")
    return tuple(_text(item) for item in items)


def _alternatives(value: object) -> tuple[tuple[object, ...], ...]:
    """A list of alternatives, each one item or a list of items that must all hold; or one item for all that."""
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(tuple(item) if isinstance(item, list | tuple) else (item,) for item in items)


def _subjects(value: object) -> tuple[tuple[str, ...], ...]:
    return tuple(_texts(together) for together in _alternatives(value))


def _ports(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(map(_port, items))


def _port(item: object) -> int:
    port = int(item) if isinstance(item, str) and _PORT.fullmatch(item) else item
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ValueError("expected a list of ports from 1 to 65535")
    return port


def conditions() -> BeforeValidator:
    """A check that a value is a list of alternatives; what they are is for the type to say."""
    return BeforeValidator(_guard(_alternatives))


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not (text := _text(value)):
        raise ValueError("expected a path")
    return Path(text)


def _optional(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value in (None, "") else parse(value)


def _paths(value: object) -> tuple[Path, ...]:
    if isinstance(value, str | Path):
        value = [value] if value else []
    if not isinstance(value, list | tuple):
        raise ValueError("expected a path or a list of paths")
    return tuple(_path(item) for item in value)


def _addresses(value: object) -> tuple[Address, ...]:
    if isinstance(value, tuple) and all(isinstance(item, TcpAddress | UnixAddress) for item in value):
        return value
    return _every(parse_address, _texts(value))


def _networks(value: object) -> tuple[Network, ...]:
    if isinstance(value, tuple) and all(isinstance(item, IPv4Network | IPv6Network) for item in value):
        return value
    return _every(_network, _texts(value))


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise ValueError(f"expected a network such as 10.0.0.0/8: {error}") from None


def _web_url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("expected an http:// or https:// URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in text:
        raise ValueError("expected an http:// or https:// URL without user, query or fragment")
    return text.rstrip("/")


def _link_url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        parse_authority(parts.netloc)
        # urlsplit passes over line ends, browsers over blanks at the ends and backslashes.
        good = parts.scheme in ("http", "https") and text.isprintable() and not {" ", "\\"} & {*text}
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected an http:// or https:// URL without user, blanks, backslashes and control characters")
    return text


def _web_origins(value: object) -> tuple[str, ...]:
    return _every(_web_origin, _texts(value))


def _web_origin(text: str) -> str:
    origin = _web_url(text)
    if urlsplit(origin).path:
        raise ValueError("expected a web origin such as https://app.example.com, without a path")
    return origin


def _audit_target(value: object) -> str:
    text = _text(value)
    if text not in ("stderr", "off") and not (text.startswith("file:") and text != "file:"):
        raise ValueError("expected stderr, off or file:PATH")
    return text


def _store_url(value: object) -> str:
    text = _text(value)
    if text != "sqlite" and not (text.startswith("sqlite:///") and text != "sqlite:///"):
        raise ValueError("expected sqlite or sqlite:///PATH")
    return text


def _tls_version(value: object) -> str:
    text = _text(value).upper()
    if text not in ("TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"):
        raise ValueError("expected TLS1.0, TLS1.1, TLS1.2 or TLS1.3")
    return text


def _frozen(value: Mapping[str, T]) -> Mapping[str, T]:
    """A read-only view of a map: a snapshot never changes."""
    return MappingProxyType(dict(value))


def _serialised(value: Mapping[str, Any], serialise: SerializerFunctionWrapHandler) -> Any:
    return serialise(dict(value))


def no_items() -> Mapping[str, Any]:
    """An empty read-only map."""
    return MappingProxyType({})


Text = Annotated[str, Form.TEXT, BeforeValidator(_guard(_text))]
SecretText = Annotated[Secret, Form.SECRET]
Flag = Annotated[bool, Form.FLAG, BeforeValidator(_guard(_flag))]
OptionalFlag = Annotated[bool | None, Form.FLAG, BeforeValidator(_guard(_optional(_flag)))]
Int = Annotated[int, Form.INT, BeforeValidator(_guard(_int))]
Interval = Annotated[float, Form.DURATION, BeforeValidator(_guard(parse_interval))]
"""A duration, or ``always`` (0) or ``never`` (infinite)."""
Duration = Annotated[float, Form.DURATION, BeforeValidator(_guard(parse_duration))]
Size = Annotated[int, Form.SIZE, BeforeValidator(_guard(parse_size))]
PathText = Annotated[Path, Form.PATH, BeforeValidator(_guard(_path))]
OptionalPath = Annotated[Path | None, Form.PATH, BeforeValidator(_guard(_optional(_path)))]
Texts = Annotated[tuple[str, ...], Form.TEXTS, BeforeValidator(_guard(_texts))]
ExactTexts = Annotated[tuple[str, ...], Form.EXACT_TEXTS, BeforeValidator(_guard(_texts))]
Subjects = Annotated[tuple[tuple[str, ...], ...], Form.SUBJECTS, BeforeValidator(_guard(_subjects))]
"""Alternatives, each of texts that must all hold."""
Ports = Annotated[tuple[int, ...], Form.TEXTS, BeforeValidator(_guard(_ports))]
Paths = Annotated[tuple[Path, ...], Form.PATHS, BeforeValidator(_guard(_paths))]
Items = Annotated[Mapping[str, T], AfterValidator(_frozen), WrapSerializer(_serialised)]
"""A map from names, ``Items[X]``."""
Addresses = Annotated[tuple[Address, ...], Form.ADDRESSES, BeforeValidator(_guard(_addresses))]
Networks = Annotated[tuple[Network, ...], Form.TEXTS, BeforeValidator(_guard(_networks))]
WebUrl = Annotated[str, Form.TEXT, BeforeValidator(_guard(_web_url))]
LinkUrl = Annotated[str, Form.TEXT, BeforeValidator(_guard(_link_url))]
"""An address for browsers, as it is written: it may have a query and a fragment."""
WebOrigins = Annotated[tuple[str, ...], Form.TEXTS, BeforeValidator(_guard(_web_origins))]
AuditTarget = Annotated[str, Form.AUDIT, BeforeValidator(_guard(_audit_target))]
StoreUrl = Annotated[str, Form.TEXT, BeforeValidator(_guard(_store_url))]
TlsVersion = Annotated[
    Literal["TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"], Form.TEXT, BeforeValidator(_guard(_tls_version))
]
