"""Pages as people see them: templates, compiled at start, and the headers that every page carries (forward-auth.md 9).

No page holds a script, and none may be framed, kept, or told of to the next site.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.serve.answer import NAME
from gateway.serve.portal import static_files

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action "
)
_HEADERS: Final = {
    "Server": NAME,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Site:
    """What every page knows of the portal."""

    root: str
    """Path before those of the portal, without a slash at the end; empty where there is none."""
    title: str
    version: str
    """What Conjur's command line looks for, whichever page it is shown (conjur.md 2)."""

    def version_of(self, name: str) -> str:
        """Of a static file."""
        return static_files.version_of(name)


@lru_cache(maxsize=1024)
def moment_text(seconds: float) -> str:
    """``22 Nov 2026, 11:03 UTC``, of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y, %H:%M UTC")


@lru_cache(maxsize=1024)
def _moment(seconds: float) -> Markup:
    exact = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{}</time>').format(exact, moment_text(seconds))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.serve.portal"), autoescape=True, undefined=StrictUndefined, auto_reload=False,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"moment": _moment, "moment_text": moment_text}
    return environment


_ENVIRONMENT: Final = _environment()
_TEMPLATES: Final = {
    name: _ENVIRONMENT.get_template(f"{name}.html") for name in ("login", "account", "token", "message")
}


def page(
    template: str,
    site: Site,
    words: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form_targets: Iterable[str] = (),
) -> web.Response:
    """Render a page. ``form_targets`` are sources (CSP 3) that an answer to its forms may lead to, besides ourselves:
    Chromium follows no redirect of a form to others."""
    # Names of directories may hold octets that are no text.
    body = _TEMPLATES[template].render(site=site, **words).encode("utf-8", "replace")
    policy = _POLICY + " ".join(("'self'", *form_targets))
    fixed = {**_HEADERS, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
    return web.Response(status=status, body=body, headers={**fixed, **(headers or {})})


def see_other(location: str) -> web.Response:
    """Send a browser elsewhere, by GET."""
    return web.Response(status=303, headers={**_HEADERS, "Location": location})


def days_text(seconds: float) -> str:
    """``30 days``, ``12 hours``: a time that somebody configured."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = math.floor(seconds / length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a minute"
