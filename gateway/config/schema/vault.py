"""The Vault dialect: ``vault``, and ``vault`` of each server (configuration.md 1.3, 1.6; the fields of vault.md 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.grants.policies.book import ROOT_POLICY, fold
from gateway.grants.policies.document import PolicyError
from gateway.grants.policies.policy import parse

from .fields import Duration, Flag, Int, Items, Secret, SecretText, Text, Texts, matching, no_items
from .section import Finding, Place, Section

REALM: Final = "*"
"""In ``vault.mounts``: all that a login without a server is tried against."""
LEASE: Final = 768 * 3600.0
_SHORT_TOKEN: Final = 20
TokenType = Literal["default", "service", "batch"]
Count = Annotated[Int, Field(ge=0)]
Version = Annotated[Text, matching(r"\d{1,4}\.\d{1,4}\.\d{1,4}[0-9A-Za-z.+-]{0,40}", "a version such as 1.21.0")]


class VaultUser(Section):
    """What one user name gets besides what its groups give."""

    groups: Texts = ()
    """Groups it is in, besides those of the directory."""
    policies: Texts = ()
    """Its own policies."""

    def findings(self) -> Iterator[Finding]:
        yield from _root_findings(("policies",), self.policies)


class MountLockout(Section):
    """Where a mount differs from ``lockout``; 0 means: as there."""

    failures: Count = 0
    """Wrong passwords within ``window`` that lock an account."""
    window: Duration = 0.0
    """Time in which failures add up."""
    duration: Duration = 0.0
    """How long an account stays locked."""
    disabled: Flag = False
    """Lock nobody: passwords can then be guessed without an end."""

    def findings(self) -> Iterator[Finding]:
        if self.disabled:
            yield Finding(("disabled",), "nobody is locked out: passwords can be guessed without an end", "warning")


class Mount(Section):
    """What the Vault API makes of the people of one mount. All of it can be written through that API."""

    description: Text = ""
    """A few words about it."""
    listing_visibility: Literal["hidden", "unauth"] = "hidden"
    """``unauth`` shows it to people who have not logged in."""
    default_lease_ttl: Duration = 0.0
    """How long a token lives where nothing else says so; 0 means ``vault.default_lease_ttl``."""
    max_lease_ttl: Duration = 0.0
    """How long a token can be renewed; 0 means ``vault.max_lease_ttl``."""
    mount_token_type: Literal["default-service", "default-batch", "service", "batch"] = "default-service"  # noqa: S105
    """Type of tokens where ``token_type`` says ``default``; without ``default-`` it cannot say otherwise."""
    lockout: MountLockout = Field(default_factory=MountLockout)
    token_ttl: Duration = 0.0
    """How long a token lives; 0 means ``default_lease_ttl``."""
    token_max_ttl: Duration = 0.0
    """How long it can be renewed; 0 means ``max_lease_ttl``."""
    token_explicit_max_ttl: Duration = 0.0
    """Hard end, for periodic tokens too; 0 means none."""
    token_period: Duration = 0.0
    """Each renewal gives so much, for ever; 0 means that tokens are not periodic."""
    token_policies: Texts = ()
    """Policies that every login gives."""
    token_bound_cidrs: Texts = ()
    """Networks from which people may log in and use their tokens; empty means any."""
    token_no_default_policy: Flag = False
    """Leave policy ``default`` out."""
    token_num_uses: Count = 0
    """Requests that a token is good for; 0 means any number."""
    token_type: TokenType = "default"  # noqa: S105 - a word
    """``service``, ``batch``, or what ``mount_token_type`` says."""
    token_strictly_bind_ip: Flag = False
    """Bind each token to the address it was made for."""
    groups: Items[Texts] = Field(default_factory=no_items)
    """Policies by group, besides those of ``vault.groups``."""
    users: Items[VaultUser] = Field(default_factory=no_items)
    """Groups and policies by user name as it is typed, besides those of ``vault.users``."""

    @property
    def issues(self) -> Literal["service", "batch"]:
        """Type of the tokens that a login gives."""
        kind = self.mount_token_type
        if kind.startswith("default-") and self.token_type in ("service", "batch"):
            kind = self.token_type
        return "batch" if kind.endswith("batch") else "service"

    @property
    def insists(self) -> bool:
        """Whether that type is said, not merely what comes of itself."""
        return self.token_type != "default" or not self.mount_token_type.startswith("default-")  # noqa: S105

    def findings(self) -> Iterator[Finding]:
        if self.token_max_ttl and self.token_ttl > self.token_max_ttl:
            yield Finding(("token_ttl",), "is longer than token_max_ttl", rests_on=(("token_max_ttl",),))
        if self.token_strictly_bind_ip and self.token_bound_cidrs:
            message, other = "cannot be given together with token_bound_cidrs", ("token_bound_cidrs",)
            yield Finding(("token_strictly_bind_ip",), message, rests_on=(other,))
        if self.token_type == "batch" and (self.token_period or self.token_num_uses):  # noqa: S105
            message = "batch tokens have neither period nor limited uses: token_period and token_num_uses must be 0"
            yield Finding(("token_type",), message, rests_on=(("token_period",), ("token_num_uses",)))
        yield from _cidr_findings(self.token_bound_cidrs)
        yield from _root_findings(("token_policies",), self.token_policies)
        for name, policies in self.groups.items():
            yield from _root_findings(("groups", name), policies)


class TokenRole(Section):
    """What ``auth/token/create/NAME`` allows. Can be written through the API, as ``auth/token/roles/NAME``."""

    allowed_policies: Texts = ()
    """Policies that may be asked for; empty means those of who asks."""
    disallowed_policies: Texts = ()
    """Policies that may not."""
    allowed_policies_glob: Texts = ()
    """The same with ``*`` for any text, at either end."""
    disallowed_policies_glob: Texts = ()
    """The same with ``*`` for any text, at either end."""
    orphan: Flag = False
    """Tokens outlive the token that made them."""
    renewable: Flag = True
    """Tokens can be renewed."""
    path_suffix: Text = ""
    """Put behind the path that tokens are filed under."""
    token_explicit_max_ttl: Duration = 0.0
    """Hard end; 0 means none."""
    token_period: Duration = 0.0
    """Each renewal gives so much, for ever; 0 means that tokens are not periodic."""
    token_bound_cidrs: Texts = ()
    """Networks from which tokens can be used; empty means any."""
    token_no_default_policy: Flag = False
    """Leave policy ``default`` out."""
    token_num_uses: Count = 0
    """Requests that a token is good for; 0 means any number."""
    token_type: Literal["", "default-service", "default-batch", "service", "batch"] = "default-service"  # noqa: S105
    """Type of tokens; without ``default-`` a request cannot say otherwise."""

    def findings(self) -> Iterator[Finding]:
        yield from _cidr_findings(self.token_bound_cidrs)
        for key in ("allowed_policies_glob", "disallowed_policies_glob"):
            for index, glob in enumerate(getattr(self, key)):
                if "*" in glob.strip()[1:-1]:
                    yield Finding((key, index), "* can stand at either end only: elsewhere it would match nothing")


class Vault(Section):
    """The API of a Vault, as far as logging in goes."""

    root_token: SecretText = Field(default_factory=Secret)
    """Token of the administrator, who may do everything; without it nobody is root."""
    policies: Items[Text] = Field(default_factory=no_items)
    """Policy documents by name (HCL or JSON). Policy ``default`` is built in and can be replaced."""
    groups: Items[Texts] = Field(default_factory=no_items)
    """Policies by group, for every mount."""
    users: Items[VaultUser] = Field(default_factory=no_items)
    """Groups and policies by user name as it is typed, for every mount."""
    mounts: Items[Text] = Field(default_factory=no_items)
    """Path = name of the server that is mounted there, ``local`` for local users, ``*`` for all that a login without
    a server is tried against. A server that is not named here is mounted under its own name."""
    local: Mount = Field(default_factory=Mount)
    """The mount of the local users."""
    realm: Mount = Field(default_factory=Mount)
    """The mounts of ``*``. What limits tokens at somebody's own server holds there, too."""
    token_roles: Items[TokenRole] = Field(default_factory=no_items)
    """Kinds of tokens that holders of tokens can make, by name."""
    default_lease_ttl: Annotated[Duration, Field(gt=0)] = LEASE
    """How long a token lives where nothing else says so."""
    max_lease_ttl: Annotated[Duration, Field(gt=0)] = LEASE
    """How long a token can be renewed where nothing else says so."""
    renew_unchecked: Literal["limits", "refuse"] = "limits"
    """Tokens of people who cannot be looked up again (``recheck = none``): renew them up to their limits, or not."""
    compatibility: Literal["", "0.7"] = ""
    """``0.7`` answers as a Vault of 2017 did."""
    version: Version = "1.21.0"
    """What clients are told; some change their ways by it."""
    cluster_name: Text = "ldap-gateway"
    """What clients are told."""

    def findings(self) -> Iterator[Finding]:
        token = self.root_token.reveal()
        if token and len(token) < _SHORT_TOKEN:
            message = f"is shorter than {_SHORT_TOKEN} characters: it may do everything, and could be guessed"
            yield Finding(("root_token",), message, "warning")
        if self.realm.lockout != MountLockout():
            message = "has no effect: people are locked out as the lockout of their own server, or of local, says"
            yield Finding(("realm", "lockout"), message, "warning")
        for name, policies in self.groups.items():
            yield from _root_findings(("groups", name), policies)
        yield from _twice("policies", self.policies)
        for name, text in self.policies.items():
            if fold(name) == ROOT_POLICY:
                yield Finding(("policies", name), "root has no text, and cannot be given one")
                continue
            try:
                parse(text)
            except PolicyError as error:
                yield Finding(("policies", name), str(error))


def _cidr_findings(cidrs: Sequence[str]) -> Iterator[Finding]:
    for index, text in enumerate(cidrs):
        try:
            ip_network(text, strict=False)
        except ValueError:
            yield Finding(("token_bound_cidrs", index), "expected an address or a network such as 10.0.0.0/8")


def _root_findings(place: Place, policies: Sequence[str]) -> Iterator[Finding]:
    """Only ``root_token`` is root, whatever a mapping says (vault.md 14)."""
    for index, policy in enumerate(policies):
        if fold(policy) == ROOT_POLICY:
            message = "root is given by no login: that of everybody who gets it here fails"
            yield Finding((*place, index), message, "warning")


def _twice(section: str, items: Mapping[str, object]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in items:
        if first := seen.get(fold(name)):
            yield Finding((section, name), f"is the same as {first}: capitals do not count")
        seen.setdefault(fold(name), name)
