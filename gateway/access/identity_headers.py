"""What applications are told about who calls: the headers of an answer, rendered once (forward-auth.md 5).

Every header of a preset is always there, empty where nobody is or nothing is known: proxies differ on what becomes of
one that is missing, and some let the client's own through. Nothing is ever cut in the middle: a shortened name may be
somebody else's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.identity import Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import IdentityHeaders
    from gateway.grants.organisations import Organisations

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORD_OCTETS: Final = 45
"""Octets of one encoded word: 60 letters of base64, and 12 around them, of the 75 that RFC 2047 2 allows."""
_ATTRIBUTE: Final = "attr:"
_OF_THE_CLIENT: Final = frozenset({"authorization", "proxy-authorization"})
"""What a preset may set, but where it does not, clients do."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Identity headers of one answer."""

    headers: tuple[tuple[str, str], ...]
    """Names and values, in the order of the preset."""
    block: bytes
    """The same as header lines."""
    removed: tuple[str, ...]
    """Names of headers, of any preset, without a value here: Envoy is told to remove the client's own
    (``x-envoy-auth-headers-to-remove``)."""
    dropped: tuple[str, ...] = ()
    """What did not go in, in words for a warning."""
    lacks_token: bool = False
    """Whether a token is among that: without it the application would take the person for nobody."""


class HeaderPresets:
    """The presets of one configuration."""

    def __init__(self, settings: IdentityHeaders, organisations: Organisations) -> None:
        self._settings = settings
        self._presets = settings.known
        self._organisations = organisations
        self._with_token = frozenset(name for name, fields in self._presets.items() if "token" in fields.values())
        names = {name.lower(): name for preset in self._presets.values() for name in preset}
        self._others = {lower: name for lower, name in names.items() if lower not in _OF_THE_CLIENT}
        self._anonymous = {name: self._render(None, name, "") for name in self._presets}

    def anonymous(self, preset: str = "") -> Rendered:
        """The headers of a preset (empty: the default one), without values."""
        return self._anonymous[preset or self._settings.preset]

    def needs_token(self, preset: str = "") -> bool:
        """Whether a preset has the field ``token``, for which a fresh one must be made."""
        return (preset or self._settings.preset) in self._with_token

    def refusal(self, identity: Identity, preset: str = "") -> str:
        """Why somebody is not let pass to what a preset with a token is for, in words for the audit trail; empty: they
        are."""
        if not self.needs_token(preset):
            return ""
        if self._organisations.refuses(identity):
            return "no group mapping gives a role in Grafana"
        return "control characters in the name" if _CONTROL.search(identity.account.username) else ""

    def render(self, identity: Identity, preset: str = "", token: str = "") -> Rendered:
        """The headers of a preset for one identity."""
        return self._render(identity, preset or self._settings.preset, token)

    def _render(self, identity: Identity | None, preset: str, token: str) -> Rendered:
        fields = self._presets[preset]
        encoding = self._settings.encoding_of(preset)
        values = dict.fromkeys(fields, "")
        dropped: list[str] = []
        if identity is not None:
            for name, field in fields.items():
                if field == "token":
                    values[name] = token if token.isascii() and token.isprintable() else ""
                elif field != "groups":
                    values[name] = _encoded(self._value(identity, field), encoding)
            self._fit(fields, values, dropped)
            self._put_groups(identity, fields, values, encoding, dropped)
        block = "".join(f"{name}: {value}\r\n" for name, value in values.items()).encode()
        lacks_token = bool(token) and any(field == "token" and not values[name] for name, field in fields.items())
        return Rendered(tuple(values.items()), block, self._unsaid(values), tuple(dropped), lacks_token)

    def _unsaid(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """A rule may have another preset than the application behind it expects: a bypass, say, that names none."""
        own = {name.lower(): name for name, value in values.items()}
        return tuple(name for lower, name in (self._others | own).items() if not values.get(own.get(lower, "")))

    def _value(self, identity: Identity, field: str) -> str:
        account = identity.account
        match field:
            case "username":
                # Stripped, it would be another name: better nobody than somebody else.
                return "" if _CONTROL.search(account.username) else account.username
            case "name":
                return account.name
            case "email":
                return account.email
            case "role":
                return self._organisations.header(identity)
            case _:
                return ",".join(account.attributes.get(field.removeprefix(_ATTRIBUTE), ()))

    def _fit(self, fields: Mapping[str, str], values: dict[str, str], dropped: list[str]) -> None:
        """Empty the longest values until all fit; the user name is the last to go."""
        while _size(values) > self._settings.max_size:
            name = max(values, key=lambda name: (bool(values[name]) and fields[name] != "username", len(values[name])))
            values[name] = ""
            dropped.append(f"{name} is too long (identity_headers.max_size)")

    def _put_groups(
        self, identity: Identity, fields: Mapping[str, str], values: dict[str, str], encoding: str, dropped: list[str]
    ) -> None:
        names = [name for name, field in fields.items() if field == "groups"]
        if not names:
            return
        groups = list(self._groups(identity, encoding, dropped))
        budget = (self._settings.max_size - _size(values)) // len(names)
        low, high, most = 0, min(len(groups), self._settings.max_groups), len(groups)
        while low < high:
            middle = (low + high + 1) // 2
            fits = len(_joined(groups[:middle], encoding).encode()) <= budget
            low, high = (middle, high) if fits else (low, middle - 1)
        text = _joined(groups[:low], encoding)
        values.update(dict.fromkeys(names, text))
        if low < most:
            dropped.append(f"{most - low} of {most} groups: no room (identity_headers.max_groups, max_size)")

    def _groups(self, identity: Identity, encoding: str, dropped: list[str]) -> Iterator[str]:
        """The names of groups as they are joined, each once; what cannot be joined is counted in ``dropped``."""
        prefix = fold_name(self._settings.group_prefix)
        seen: set[str] = set()
        percent = self._settings.comma_groups == "percent"
        with_comma = with_control = 0
        for group in identity.account.groups:
            name = group.name.strip()
            if not name or name in seen or not fold_name(name).startswith(prefix):
                continue
            seen.add(name)
            if _CONTROL.search(name):
                with_control += 1
            elif percent and encoding != "percent":
                yield name.replace("%", "%25").replace(",", "%2C")
            elif percent or "," not in name:
                yield name
            else:
                with_comma += 1
        if with_comma:
            dropped.append(f"{with_comma} of {len(seen)} groups: a comma in the name (identity_headers.comma_groups)")
        if with_control:
            dropped.append(f"{with_control} of {len(seen)} groups: control characters in the name")


def _joined(groups: Sequence[str], encoding: str) -> str:
    if encoding == "percent":
        return ",".join(_encoded(group, encoding) for group in groups)
    return _encoded(",".join(groups), encoding)


def _size(values: Mapping[str, str]) -> int:
    return sum(len(name) + len(value.encode()) + 4 for name, value in values.items())


def _encoded(text: str, encoding: str) -> str:
    """A value that is one line whatever was in it, and valid UTF-8."""
    clean = _CONTROL.sub("", text).strip()
    match encoding:
        case "percent":
            return quote(clean, safe="@")
        case "rfc2047":
            return clean if clean.isascii() and "=?" not in clean else " ".join(_encoded_words(clean))
        case "quoted-printable":
            return "".join(map(_quoted_printable, clean))
    return clean


def _quoted_printable(letter: str) -> str:
    if letter != "=" and " " <= letter <= "~":
        return letter
    return "".join(f"={octet:02X}" for octet in letter.encode())


def _encoded_words(text: str) -> Iterator[str]:
    word = b""
    for letter in text:
        octets = letter.encode()
        if len(word) + len(octets) > _WORD_OCTETS:
            yield f"=?utf-8?B?{base64.b64encode(word).decode()}?="
            word = b""
        word += octets
    yield f"=?utf-8?B?{base64.b64encode(word).decode()}?="
