"""The ClearML dialect (configuration.md 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .fields import Flag, Items, OptionalFlag, Secret, SecretText, Text, WebOrigins, matching, no_items
from .section import Finding, Section

ServiceRole = Literal["system", "root", "admin", "superuser", "user", "annotator", "guest"]

CookieName = Annotated[Text, matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "letters, digits and !#$%&'*+-.^_`|~ alone")]
CompanyId = Annotated[Text, matching(r"[0-9a-f]{32}", "32 hexadecimal digits (small letters)")]


class Cookie(Section):
    """The cookie that ``auth.login`` sets."""

    name: CookieName = "clearml_token_basic"
    """Cookie name (RFC 6265 token)."""
    domain: Annotated[Text, matching(r"[A-Za-z0-9.-]*", "a domain such as example.com")] = ""
    """Domain attribute; empty means this host only."""
    secure: OptionalFlag = None
    """Secure attribute; not given means: when ``public_url`` is https."""
    same_site: Literal["Lax", "Strict", "None"] = "Lax"
    """SameSite attribute."""


class Credential(Section):
    """An access key of a service, written in the configuration."""

    role: ServiceRole = "user"
    """ClearML role of the service."""
    user_key: Text = ""
    """The access key."""
    user_secret: SecretText = Field(default_factory=Secret)
    """The secret key."""

    def findings(self) -> Iterator[Finding]:
        if not self.user_key:
            yield Finding(("user_key",), "is needed", absence=True)
        if not self.user_secret:
            yield Finding(("user_secret",), "is needed", absence=True)


class Clearml(Section):
    """What ClearML clients are told, and who they may be."""

    feature_set: Text = "vault"
    """Word for the product's edition; SDKs ask for vaults unless it is ``basic``."""
    company_name: Text = "clearml"
    """Name of the company."""
    company: CompanyId = "d1bd92a3b039400cbafc60a7a5b1e52b"
    """Id of the company, 32 hexadecimal digits."""
    registration: Literal["open", "whitelist"] = "open"
    """``whitelist``: a directory user needs an entry in the whitelist (``ldap-gateway whitelist add``); servers with
    ``default_company`` admit everyone all the same. Local users never need one."""
    token_secret: SecretText = Field(default_factory=Secret)
    """HS256 secret of ClearML tokens; without it the key ring has one."""
    password_login: Flag = True
    """Let people log in with user name and password."""
    api_version: Annotated[Text, matching(r"\d+\.\d+", "a version such as 2.34")] = "2.34"
    """API version that clients are told."""
    server_version: Annotated[Text, matching(r"\d+(\.\d+){1,3}", "a version such as 2.3.0")] = "2.3.0"
    """Server version that clients are told."""
    cookie: Cookie = Field(default_factory=Cookie)
    credentials: Items[Credential] = Field(default_factory=no_items)
    """Access keys of services, by name."""
    origins: WebOrigins = ()
    """Web origins that get CORS with credentials, besides that of ``public_url``."""

    def findings(self) -> Iterator[Finding]:
        if self.token_secret and len(self.token_secret.reveal().encode("utf-8", "surrogatepass")) < 16:
            yield Finding(("token_secret",), "is shorter than 16 bytes and can be guessed", "warning")
        seen: dict[str, str] = {}
        for name, credential in self.credentials.items():
            if credential.user_key and seen.setdefault(credential.user_key, name) != name:
                yield Finding(("credentials", name, "user_key"), f"is the same as of {seen[credential.user_key]}")
