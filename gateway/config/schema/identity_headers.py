"""Headers that tell applications who somebody is (configuration.md 1.5, forward-auth.md 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from .fields import Int, Items, Size, Text, no_items
from .section import Finding, Section

FIELDS: Final = ("username", "name", "email", "groups", "role", "token")
ATTRIBUTE: Final = "attr:"
MOST_HEADERS: Final = 12
"""Of one preset; with the longest names they fit into the smallest ``max_size``."""
_GRAFANA: Final = "grafana-proxy"
"""Its values are decoded by Grafana's ``headers_encoded``, which knows one encoding."""
BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = {
    "remote": {
        "Remote-User": "username",
        "Remote-Groups": "groups",
        "Remote-Name": "name",
        "Remote-Email": "email",
    },
    "auth-request": {
        "X-Auth-Request-User": "username",
        "X-Auth-Request-Email": "email",
        "X-Auth-Request-Groups": "groups",
        "X-Auth-Request-Preferred-Username": "username",
    },
    "forwarded": {
        "X-Forwarded-User": "username",
        "X-Forwarded-Email": "email",
        "X-Forwarded-Groups": "groups",
    },
    _GRAFANA: {
        "X-WEBAUTH-USER": "username",
        "X-WEBAUTH-NAME": "name",
        "X-WEBAUTH-EMAIL": "email",
        "X-WEBAUTH-ROLE": "role",
        "X-WEBAUTH-GROUPS": "groups",
    },
    "grafana-jwt": {"X-JWT-Assertion": "token"},
}
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_TAKEN: Final = re.compile(
    r"(?:cookie|set-cookie|location|vary|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|date|server"
    r"|status|content-.*|cache-control|retry-after|(?:www|proxy)-authenticate|proxy-connection|x-envoy-.*)",
    re.IGNORECASE,
)
"""Headers that mean something else in an answer."""


class IdentityHeaders(Section):
    """What applications are told about who calls, in headers of the answer to their proxy."""

    preset: Text = "remote"
    """Headers where a rule names none: ``remote``, ``auth-request``, ``forwarded``, ``grafana-proxy``, ``grafana-jwt``
    or one of ``presets``."""
    presets: Items[Items[Text]] = Field(default_factory=no_items)
    """Presets of one's own: header = ``username``, ``name``, ``email``, ``groups``, ``role`` (in Grafana), ``token`` or
    ``attr:NAME``. One of a built-in name replaces that."""
    encoding: Literal["utf8", "rfc2047", "percent", "quoted-printable"] = "utf8"
    """How letters beyond ASCII are written; preset ``grafana-proxy``: always quoted-printable."""
    max_size: Annotated[Size, Field(ge=1024, le=32 * 1024)] = 4096
    """Most bytes of all identity headers together; groups are left out first."""
    max_groups: Annotated[Int, Field(ge=0)] = 200
    """Most groups."""
    group_prefix: Text = ""
    """Only groups whose name begins so."""
    comma_groups: Literal["drop", "percent"] = "drop"
    """Groups with a comma in the name: left out, or with ``%2C`` (and ``%25`` for ``%``)."""

    def findings(self) -> Iterator[Finding]:
        if self.preset not in self.known:
            yield Finding(("preset",), self.unknown(self.preset), rests_on=(("presets",),))
        for preset, headers in self.presets.items():
            seen: set[str] = set()
            if not 0 < len(headers) <= MOST_HEADERS:
                yield Finding(("presets", preset), f"expected 1 to {MOST_HEADERS} headers")
            for name, field in headers.items():
                place = ("presets", preset, name)
                if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
                    yield Finding(place, "expected a name of letters, digits and hyphens that means nothing else")
                elif name.lower() in seen:
                    yield Finding(place, "is given twice")
                elif field not in FIELDS and not (field.startswith(ATTRIBUTE) and field != ATTRIBUTE):
                    yield Finding(place, f"expected one of {', '.join(FIELDS)} or attr:NAME")
                seen.add(name.lower())

    @property
    def known(self) -> Mapping[str, Mapping[str, str]]:
        """Every preset: header to field, by name."""
        return {**BUILT_IN, **self.presets}

    def unknown(self, preset: str) -> str:
        """What to say of a preset that does not exist."""
        return f"there is no preset {preset}; there are {', '.join(self.known)}"

    def encoding_of(self, preset: str) -> str:
        """The encoding of a preset's values."""
        return "quoted-printable" if preset == _GRAFANA else self.encoding
