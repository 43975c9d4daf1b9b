"""The token that a login through a mount gives, and by which it is judged when it is renewed (vault.md 6). Pure.

At a mount of the realm the limits of the person's own server hold as well: of two, the tighter one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING

from gateway.tokens.vault_children import NewToken, TokenType, login_policies
from gateway.tokens.vault_tokens import bound
from gateway.tokens.vault_ttl import Caps, Refused, Terms

if TYPE_CHECKING:
    from gateway.config.schema import Mount
    from gateway.identity import Identity
    from gateway.vault_mounts import MountPoint


def admits(mount: MountPoint, server: str, client: str | None) -> bool:
    """Whether people of a server may log in through the mount from an address; None is a local socket."""
    return all(bound(settings.token_bound_cidrs, client) for settings in mount.settings_for(server))


def login_token(
    mount: MountPoint, identity: Identity, mapped: Iterable[str], username: str, client: str | None = None
) -> NewToken:
    """What to issue to ``identity``, who logged in through the mount as ``username`` and has these ``mapped`` policies.

    Raises Refused where its policies are none that a login may give. ``client`` is the address it is bound to where
    the mount says so; of a local socket None, which binds to nothing.
    """
    binding = mount.settings_for(identity.account.server)
    strictly = (client,) if client and any(settings.token_strictly_bind_ip for settings in binding) else ()
    no_default = any(settings.token_no_default_policy for settings in binding)
    caps, num_uses = mount.caps_for(identity.account.server), _least(one.token_num_uses for one in binding)
    terms = _terms(binding, caps)
    return NewToken(
        policies=login_policies((*mapped, *mount.settings.token_policies), default=not no_default),
        path=f"{login_path(mount)}{username}",
        terms=terms,
        caps=caps,
        identity=identity.id,
        valid_after=identity.valid_after,
        server=identity.account.server,
        display_name=f"{mount.path.replace('/', '-')}-{username}",
        meta={"username": username},
        type=_type(binding, limited=bool(num_uses or terms.period)),
        num_uses=num_uses,
        cidrs=strictly or _common([settings.token_bound_cidrs for settings in binding]),
    )


def login_path(mount: MountPoint) -> str:
    """What the paths of its logins begin with."""
    return f"auth/{mount.path}/login/"


def _terms(binding: Sequence[Mount], caps: Caps) -> Terms:
    """Periodic, which is without end, only where all say so; what is the period of one is the TTL of all else."""
    periodic = all(settings.token_period for settings in binding)
    return Terms(
        ttl=_least(int(one.token_period or one.token_ttl) or caps.default_ttl for one in binding),
        max_ttl=_least(int(settings.token_max_ttl) for settings in binding),
        explicit_max_ttl=_least(int(settings.token_explicit_max_ttl) for settings in binding),
        period=_least(int(settings.token_period) for settings in binding) if periodic else 0,
    )


def _type(binding: Sequence[Mount], *, limited: bool) -> TokenType:
    """The last that insists on a type has its way, but not against a limit that batch tokens cannot have."""
    kind = next((one for one in reversed(binding) if one.insists), binding[0]).issues
    return "service" if limited and len(binding) > 1 else kind


def _least(values: Iterable[int]) -> int:
    """Of those that are set; 0 where none is."""
    return min(filter(None, values), default=0)


def _common(bounds: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The networks that are in all bounds; of bounds to nothing none. Raises Refused where no address is in all."""
    common: tuple[str, ...] = ()
    for cidrs in filter(None, bounds):
        inner = [(one if _within(one, other) else other) for one in common for other in cidrs if _overlap(one, other)]
        if common and not inner:
            raise Refused("no address is in token_bound_cidrs of the mount and of the server")
        common = tuple(dict.fromkeys(inner)) if common else tuple(cidrs)
    return common


def _overlap(one: str, other: str) -> bool:
    return _within(one, other) or _within(other, one)


def _within(one: str, other: str) -> bool:
    inner, outer = ip_network(one, strict=False), ip_network(other, strict=False)
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen
