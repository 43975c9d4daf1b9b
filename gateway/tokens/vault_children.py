"""Which tokens a Vault token may make: policies, orphans, roles (vault.md 8). Pure.

The rules and most texts are those of ``handleCreateCommon`` in a Vault's token store. Stricter: a child keeps the
addresses its parent is bound to unless the role names others, a role that only disallows policies gives no more than
the parent has, and trees are no deeper than ``MAX_DEPTH``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.grants.policies.book import DEFAULT_POLICY, ROOT_POLICY, fold
from gateway.store.interface import TokenRow
from gateway.tokens.vault_ttl import SYSTEM, Caps, Refused, Terms

TokenType = Literal["service", "batch"]
MAX_DEPTH: Final = 32
"""Tokens in a row, each made by the one before; every use of the last looks at all of them."""
UNASSIGNABLE: Final = frozenset({"response-wrapping", "control-group"})
_LARGEST: Final = 2**53
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token as it is to be made."""

    policies: tuple[str, ...]
    """As ``policies`` gives them: folded, sorted, unique."""
    path: str
    """Of the request that made it: ``auth/ldap/login/tesla``, ``auth/token/create``."""
    terms: Terms
    """What renewals go by, too."""
    caps: Caps = SYSTEM
    identity: str | None = None
    """``Identity.id``; None for tokens that are nobody's."""
    valid_after: int = 0
    """``Identity.valid_after``, or anything later."""
    server: str = ""
    display_name: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    type: TokenType = "service"
    parent: str | None = None
    """Accessor. None for an orphan."""
    renewable: bool = True
    endless: bool = False
    """Of root tokens only."""
    num_uses: int = 0
    """0: unlimited."""
    cidrs: tuple[str, ...] = ()
    role: str = ""
    text: str = field(default="", repr=False)
    """Empty: a new one is minted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """The body of ``auth/token/create``; None and empty values were not given."""

    policies: Sequence[str] = ()
    ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    renewable: bool = True
    num_uses: int = 0
    meta: Mapping[str, str] = field(default_factory=dict)
    display_name: str = ""
    type: str = ""
    no_parent: bool = False
    no_default_policy: bool = False
    id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRole:
    """One entry of ``vault.token_roles``."""

    name: str
    allowed_policies: Sequence[str] = ()
    disallowed_policies: Sequence[str] = ()
    allowed_policies_glob: Sequence[str] = ()
    disallowed_policies_glob: Sequence[str] = ()
    orphan: bool = False
    renewable: bool = True
    path_suffix: str = ""
    explicit_max_ttl: int = 0
    period: int = 0
    cidrs: tuple[str, ...] = ()
    no_default_policy: bool = False
    num_uses: int = 0
    type: str = ""
    """``service``, ``batch``, empty, or ``default-service`` and ``default-batch``, which a request may overrule."""


def policies(names: Iterable[str], *, default: bool) -> tuple[str, ...]:
    """Trimmed, lower-case, unique, sorted, with policy ``default`` where asked for; root stands alone."""
    found = {folded for name in names if (folded := fold(name))} | ({DEFAULT_POLICY} if default else set())
    return (ROOT_POLICY,) if ROOT_POLICY in found else tuple(sorted(found))


def login_policies(names: Iterable[str], *, default: bool) -> tuple[str, ...]:
    """Of a token that a login gives (vault.md 6). ``Refused`` for root and for what no token may have."""
    found = policies(names, default=default)
    if ROOT_POLICY in found:
        raise Refused("auth methods cannot create root tokens")
    _check_assignable(found)
    return found


def unchanged(before: Iterable[str], now: Iterable[str]) -> bool:
    """Whether a login would still give the same policies, ``default`` aside, so that the token may be renewed."""
    return set(policies(before, default=True)) == set(policies(now, default=True))


def child(
    parent: TokenRow,
    request: CreateRequest,
    *,
    sudo: bool,
    orphan: bool = False,
    role: TokenRole | None = None,
    caps: Caps = SYSTEM,
) -> NewToken:
    """What ``parent`` makes with a request. ``Refused`` where it may not.

    ``sudo`` says that the parent has that capability on the path of the request, ``orphan`` that the path is
    ``create-orphan``.
    """
    kind = _type(request, role)
    _check_request(parent, request, kind, sudo=sudo)
    names = _policies(parent, request, role, sudo=sudo)
    orphan = orphan or request.no_parent or (role is not None and role.orphan)
    terms = Terms(
        ttl=request.ttl,
        explicit_max_ttl=_lesser(request.explicit_max_ttl, role.explicit_max_ttl if role else 0),
        period=_lesser(request.period, role.period if role else 0),
    )
    endless = ROOT_POLICY in names and not (terms.ttl or terms.explicit_max_ttl or terms.period)
    if endless and parent.expires_at is not None:
        raise Refused("expiring root tokens cannot create non-expiring root tokens")
    if kind == "batch" and ROOT_POLICY in names:
        raise Refused("batch tokens cannot be root tokens")
    return NewToken(
        policies=names,
        path=_path(role),
        terms=terms,
        caps=caps,
        identity=None if orphan else parent.identity,
        valid_after=0 if orphan else parent.created_at,
        server="" if orphan else parent.server,
        display_name=_display_name(request),
        meta=request.meta,
        type=kind,
        parent=None if orphan else parent.accessor,
        renewable=kind == "service" and not endless and request.renewable and (role is None or role.renewable),
        endless=endless,
        num_uses=_lesser(request.num_uses, role.num_uses if role else 0),
        cidrs=(role.cidrs if role else ()) or cidrs_of(parent),
        role=role.name if role else "",
        text=request.id,
    )


def cidrs_of(row: TokenRow) -> tuple[str, ...]:
    """The addresses a token is bound to, as they were written; empty: to none."""
    found = row.limits.get("cidrs")
    return tuple(str(cidr) for cidr in found) if isinstance(found, list | tuple) else ()


def _type(request: CreateRequest, role: TokenRole | None) -> TokenType:
    if request.type not in ("", "service", "batch"):
        raise Refused(f"invalid 'token_type' value \"{request.type}\"")
    if role is not None and role.type in ("service", "batch"):
        kind = role.type
    else:
        kind = request.type or ("batch" if role is not None and role.type == "default-batch" else "service")
    return "batch" if kind == "batch" else "service"


def _check_request(parent: TokenRow, request: CreateRequest, kind: TokenType, *, sudo: bool) -> None:
    if not parent.accessor:
        raise Refused("batch tokens cannot create more tokens")
    if parent.uses_left is not None:
        raise Refused("restricted use token cannot generate child tokens")
    numbers = (request.ttl, request.explicit_max_ttl, request.period, request.num_uses)
    if not 0 <= min(numbers) <= max(numbers) <= _LARGEST:
        raise Refused("ttl, explicit_max_ttl, period and num_uses cannot be negative, nor beyond all reason")
    if not sudo:
        for given, what in (
            (request.id, "specify token id"),
            (request.no_parent, "create orphan token"),
            (request.period, "create periodic token"),
        ):
            if given:
                raise Refused(f"root or sudo privileges required to {what}")
    if request.id and (kind == "batch" or "." in request.id or not _printable(request.id)):
        raise Refused("custom token ID must be printable ASCII without blanks and cannot have a '.' in the value")
    if kind == "batch":
        for name in ("explicit_max_ttl", "num_uses", "period"):
            if getattr(request, name):
                raise Refused(f'batch tokens cannot have "{name}" set')


def _printable(text: str) -> bool:
    return len(text) <= 128 and text.isascii() and text.isprintable() and " " not in text


def _policies(parent: TokenRow, request: CreateRequest, role: TokenRole | None, *, sudo: bool) -> tuple[str, ...]:
    asked = policies(request.policies, default=False)
    default = not request.no_default_policy and not (role is not None and role.no_default_policy)
    if role is not None:
        default = default and not _disallows(role, DEFAULT_POLICY)
    if role is not None and (role.allowed_policies or role.allowed_policies_glob):
        names = _allowed(role, asked, default=default)
    elif not asked:
        # Only what the parent has: default is not added to it.
        names = policies(parent.policies, default=False)
    elif sudo:
        names = policies(asked, default=default)
    else:
        held = policies(parent.policies, default=False)
        if not set(asked) <= set(held):
            raise Refused("child policies must be subset of parent")
        names = policies(asked, default=default and DEFAULT_POLICY in held)
    if not default:
        names = tuple(name for name in names if name != DEFAULT_POLICY)
    if role is not None and (refused := [name for name in names if _disallows(role, name)]):
        raise Refused(f'token policy "{refused[0]}" is disallowed by this role')
    _check_assignable(names)
    if ROOT_POLICY in names and ROOT_POLICY not in parent.policies:
        raise Refused("root tokens may not be created without parent token being root")
    return names


def _allowed(role: TokenRole, asked: tuple[str, ...], *, default: bool) -> tuple[str, ...]:
    """What is asked for, else all that the role names; checked by the role alone, not by what the parent has."""
    names = policies(asked or role.allowed_policies, default=default)
    for name in names:
        allowed = _among(name, role.allowed_policies, role.allowed_policies_glob)
        if not allowed and not (default and name == DEFAULT_POLICY):
            raise Refused(f'token policy "{name}" is not in the set: must be subset of the role\'s allowed policies')
    return names


def _disallows(role: TokenRole, name: str) -> bool:
    return _among(name, role.disallowed_policies, role.disallowed_policies_glob)


def _among(name: str, names: Iterable[str], globs: Iterable[str]) -> bool:
    return name in policies(names, default=False) or any(_matches(name, fold(glob)) for glob in globs)


def _matches(name: str, glob: str) -> bool:
    """``*`` at either end or both stands for any text."""
    return re.fullmatch(re.sub(r"^(?:\\\*)|(?:\\\*)$", ".*", re.escape(glob)), name, re.DOTALL) is not None


def _check_assignable(names: Iterable[str]) -> None:
    for name in names:
        if name in UNASSIGNABLE:
            raise Refused(f'cannot assign policy "{name}"')


def _lesser(one: int, other: int) -> int:
    """The lesser of those that are set."""
    return min(filter(None, (one, other)), default=0)


def _path(role: TokenRole | None) -> str:
    parts = ("auth/token/create", role.name, role.path_suffix) if role else ("auth/token/create",)
    return "/".join(filter(None, parts))


def _display_name(request: CreateRequest) -> str:
    return _NOT_IN_NAMES.sub("-", f"token-{request.display_name}").rstrip("-")
