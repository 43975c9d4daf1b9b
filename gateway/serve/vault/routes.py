"""From a path to the endpoint that answers it (vault.md 2, 8, 9).

Patterns are written without ``/v1/``. ``{name}`` is one segment, ``{name*}`` one or more of them; ``auth/{mount}/`` at
the beginning is a mount that exists, slashes in its name included: as with a Vault the longest one owns a path.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field
from gateway.serve.vault.reply import Reply

if TYPE_CHECKING:
    from gateway.runtime import Live

Handler = Callable[[Call], Awaitable[Reply]]
Kept = Callable[["Live", Mapping[str, str]], str]
"""The form in which a name at the end of a path is kept, by what was captured from the path."""

MOUNT: Final = "auth/{mount}/"
_PARAMETER: Final = re.compile(r"\{(\w+)(\*?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A path and what may be done with it. Which paths need ``sudo`` is known to ``grants.policies.acl``."""

    pattern: str
    handlers: Mapping[Operation, Handler]
    fields: tuple[Field, ...] = ()
    """Of bodies and queries, and of the path where they are not strings."""
    open: bool = False
    """Whether it needs no token; bodies are no larger than those of logins then."""
    help: str = ""
    """What it does, for path-help."""
    kept: Kept | None = None
    """Of routes that end in a name which is not kept as it comes."""


@dataclass(frozen=True, slots=True)
class Match:
    """Who answers a path."""

    route: Route
    parameters: Mapping[str, str]

    def kept_path(self, path: str, live: Live) -> str:
        """The path that was matched, with its name as it is kept."""
        if self.route.kept is None:
            return path
        *_, sent = self.parameters.values()
        return path.removesuffix("/").removesuffix(sent) + self.route.kept(live, self.parameters)


class Routes:
    """All routes of the dialect; of several that fit the one with more fixed text answers."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raises ValueError where two have the same pattern."""
        self.all = tuple(routes)
        patterns = [route.pattern for route in self.all]
        if len(set(patterns)) != len(patterns):
            raise ValueError("two routes have one pattern")
        self._of_mounts = _Table({r.pattern.removeprefix(MOUNT): r for r in self.all if r.pattern.startswith(MOUNT)})
        self._others = _Table({r.pattern: r for r in self.all if not r.pattern.startswith(MOUNT)})

    def find(self, path: str, mounts: Collection[str]) -> Match | None:
        """The route of a path without slash at its end; ``mounts`` are the names below ``auth/``."""
        found = self._others.find(path)
        if found is not None:
            return found
        mount = mount_of(path, mounts)
        within = None if mount is None else self._of_mounts.find(path[len(f"auth/{mount}/") :])
        return within and Match(within.route, {"mount": mount or "", **within.parameters})


def mount_of(path: str, mounts: Collection[str]) -> str | None:
    """The mount that a path is in, or is."""
    segments = path.split("/")
    if segments[0] != "auth":
        return None
    names = ("/".join(segments[1:end]) for end in range(len(segments), 1, -1))
    return next((name for name in names if name in mounts), None)


class _Table:
    """Patterns without parameters are looked up, the others tried."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._exact = {pattern: Match(route, {}) for pattern, route in routes.items() if "{" not in pattern}
        tried = sorted((pattern for pattern in routes if "{" in pattern), key=_fixed_text, reverse=True)
        self._tried = [(re.compile(_expression(pattern), re.DOTALL), routes[pattern]) for pattern in tried]

    def find(self, path: str) -> Match | None:
        if (found := self._exact.get(path)) is not None:
            return found
        for expression, route in self._tried:
            if matched := expression.fullmatch(path):
                return Match(route, matched.groupdict())
        return None


def _fixed_text(pattern: str) -> int:
    return len(_PARAMETER.sub("", pattern))


def _expression(pattern: str) -> str:
    fixed = _PARAMETER.split(pattern)
    parts = [re.escape(fixed[0])]
    for name, many, text in zip(fixed[1::3], fixed[2::3], fixed[3::3], strict=True):
        parts.append(f"(?P<{name}>{'.+' if many else '[^/]+'}){re.escape(text)}")
    return "".join(parts)
