"""Everything about access that one configuration says, compiled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.grants.organisations import Organisations

from .client_address import Network
from .identity_headers import HeaderPresets
from .redirects import ReturnUrls
from .rules import AccessRules
from .session_cookies import CookieScopes

if TYPE_CHECKING:
    from gateway.config.schema import Configuration


@dataclass(frozen=True, slots=True)
class Access:
    """Rules, cookies, ways back and identity headers of one configuration."""

    rules: AccessRules
    scopes: CookieScopes
    return_urls: ReturnUrls
    presets: HeaderPresets
    trusted: tuple[Network, ...]
    """Proxies whose questions are answered."""

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Compile a valid configuration."""
        control, cookies = configuration.access_control, configuration.session.cookies
        scopes = CookieScopes([(cookie.domain, cookie.portal_url) for cookie in cookies], configuration.public_url)
        return cls(
            rules=AccessRules(control, [server.name for server in configuration.servers]),
            scopes=scopes,
            return_urls=ReturnUrls(
                [cookie.domain for cookie in cookies],
                control.redirect_hosts,
                control.redirect_ports,
                [configuration.public_url, *(scope.portal_url for scope in scopes.all)],
                insecure=control.allow_insecure_targets,
            ),
            presets=HeaderPresets(configuration.identity_headers, Organisations(configuration)),
            trusted=tuple(configuration.trusted_proxies),
        )
