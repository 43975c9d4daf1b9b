"""One directory: ``servers[]`` (configuration.md 1.3; the keys of Grafana's ``ldap.toml`` and ours)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from gateway.identity import LOCAL

from .address import Endpoint, Tls, parse_url, split_host
from .fields import (
    Duration,
    ExactTexts,
    Flag,
    Int,
    Items,
    OptionalFlag,
    OptionalPath,
    Paths,
    Secret,
    SecretText,
    Size,
    Text,
    Texts,
    TlsVersion,
    no_items,
)
from .people import ClearmlRole
from .presets import PRESETS
from .section import Finding, Section, Severity, not_both
from .vault import Mount

OrgRole = Literal["", "Viewer", "Editor", "Admin", "None"]
BindMode = Literal["service", "anonymous", "unauthenticated", "single", "direct", "upn"]
Preset = Literal["active_directory", "openldap", "freeipa", "389ds", "lldap", "custom", "vault"]

SEARCH_MODES: Final = frozenset({"service", "anonymous", "unauthenticated"})
"""Modes in which people are looked up before their password is checked."""
SERVER_NAME: Final = re.compile(r"(?!\d+$)[a-z0-9][a-z0-9_./-]*", re.ASCII | re.IGNORECASE)
PLACEHOLDER: Final = re.compile(r"%s|\{0\}|\{\{")
"""Begins what stands for the user name in a template."""
_ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9_.;-]*|[0-9]+(\.[0-9]+)*", re.ASCII | re.IGNORECASE)
_DOMAIN: Final = re.compile(r"[^\s@\0-\x1f\x7f]+")


class Attributes(Section):
    """Names of the attributes that the directory uses. An empty name means: not asked for."""

    username: Text = "uid"
    """Login name, as it is shown afterwards."""
    name: Text = "displayName"
    """Display name, or the first name where ``surname`` is given."""
    surname: Text = ""
    """Surname, put behind ``name``."""
    email: Text = "mail"
    """E-mail address. Several names separated by blanks are tried in order."""
    member_of: Text = "memberOf"
    """Groups of an account; with ``group_search_filter`` the attribute of a group entry that names it."""
    user_id: Text = ""
    """Source of the stable ClearML user id; empty means a hash of the name."""
    extra: Items[Text] = Field(default_factory=no_items)
    """Further attributes: our name for it = its name in the directory."""

    @property
    def emails(self) -> tuple[str, ...]:
        """Attributes that may hold the e-mail address, in the order in which they are tried."""
        return tuple(self.email.split())


class GroupMapping(Section):
    """What membership in one group gives. First match per ``org_id`` rules role and admin flag of Grafana."""

    group_dn: Text = ""
    """The group as the directory names it, or ``*`` for everyone."""
    org_role: OrgRole = ""
    """Grafana role: Viewer, Editor, Admin or None. That of ``grafana.default_org`` is in ``X-WEBAUTH-ROLE``, all of
    them in a signed token."""
    org_id: Annotated[Int, Field(ge=1)] = 1
    """Grafana organisation."""
    grafana_admin: OptionalFlag = None
    """Grafana server administrator: in a signed token, in no header. It counts as a match for ``require_mapping``."""
    policies: Texts = ()
    """Policies of the Vault API and for subjects ``policy:NAME`` of access rules; those of all matching rows add up."""
    clearml_role: ClearmlRole = ""
    """ClearML role; the highest of all matching rows counts."""
    admin: Flag = False
    """Administrator of this gateway."""

    def findings(self) -> Iterator[Finding]:
        if not self.group_dn:
            yield Finding(("group_dn",), "is needed", absence=True)
        given = self.org_role or self.policies or self.clearml_role or self.admin
        if not given and self.grafana_admin is None:
            message = "has no effect: give org_role, grafana_admin, policies, clearml_role or admin"
            yield Finding((), message, absence=True)


class Pool(Section):
    """Connections to the server."""

    binds: Annotated[Int, Field(ge=1, le=1000)] = 16
    """Most connections that check passwords."""
    idle: Duration = 300.0
    """How long an unused connection is kept."""
    backoff: Duration = 30.0
    """Longest pause before a dead host is tried again."""
    probe: Duration = 10.0
    """How often a host earlier in the list is tried, to return to it."""
    max_message: Annotated[Size, Field(ge=4096)] = 8 * 1024 * 1024
    """Largest message accepted from the server."""
    max_entries: Annotated[Int, Field(ge=1)] = 20_000
    """Most entries that one search may answer."""


class ServerGroups(Section):
    """ClearML groups by directory groups (clearml.md 1.3)."""

    enabled: Flag = False
    """People are in each group of ``vaults.groups``, and each made through the API, that is called as one of theirs."""
    prohibit_user_login_if_not_in_group: Flag = False
    """Refuse a user with no matching group."""
    admins: ExactTexts = ()
    """Groups whose members get ClearML role admin."""
    case_sensitive: Flag = True
    """Compare group names exactly."""
    name_parsing: Literal["cn", "none"] = "cn"
    """``cn``: a group's name is its first CN. ``none``: full DNs are compared."""


class ClearmlServer(Section):
    """What the ClearML dialect makes of this server's users."""

    default_company: Text = ""
    """Company id of every new user."""
    admin_users: Texts = ()
    """User names that get ClearML role admin."""
    groups: ServerGroups = Field(default_factory=ServerGroups)


def _filter_of(data: dict[str, Any]) -> str:
    return f"({_username_of(data)}=%s)"


def _username_of(data: dict[str, Any]) -> str:
    attributes = data.get("attributes")
    return attributes.username if isinstance(attributes, Attributes) else "uid"


def _bases_of(data: dict[str, Any]) -> tuple[str, ...]:
    user_dn = data.get("user_dn", "")
    return (user_dn,) if user_dn and not PLACEHOLDER.search(user_dn) else ()


def _recheck_of(data: dict[str, Any]) -> Literal["service", "none"]:
    return "service" if _mode(data) in SEARCH_MODES else "none"


def _mode(given: Mapping[str, Any]) -> BindMode:
    """``bind_mode`` with ``auto`` decided by grafana.md 2.2, for preset ``vault`` by vault.md 4.2."""
    mode: BindMode | Literal["auto"] = given["bind_mode"]
    if mode != "auto":
        return mode
    bind_dn, password = given["bind_dn"], given["bind_password"]
    if given["preset"] == "vault":
        if bind_dn and password:
            return "service"
        if not given["discover_dn"]:
            return "upn" if given["upn_domain"] else "direct"
    elif password:
        return "service"
    elif PLACEHOLDER.search(bind_dn):
        return "single"
    elif given["upn_domain"]:
        return "upn"
    elif given["user_dn"]:
        return "direct"
    return "unauthenticated" if bind_dn else "anonymous"


class Server(Section):
    """A directory server, or several hosts that hold the same directory."""

    name: Text
    """Name in logs, tokens and variable names; unnamed servers are called ldap, ldap2, ..."""
    realm: Flag = True
    """Whether people may log in against it without naming it."""
    preset: Preset = "custom"
    """Kind of directory: gives filters, attributes and timeouts where nothing else does."""
    host: Text = ""
    """One or more hosts separated by blanks, tried in order."""
    port: Annotated[Int, Field(ge=0, le=65535)] = 0
    """Port of every host; 0 means 389, or 636 with ``use_ssl`` and without ``start_tls``."""
    urls: Texts = ()
    """``ldap://host`` and ``ldaps://host``, instead of ``host``, ``port`` and ``use_ssl``."""
    use_ssl: Flag = False
    """TLS from the first byte (LDAPS); together with ``start_tls``: StartTLS."""
    start_tls: Flag = False
    """Upgrade the connection with StartTLS."""
    ssl_skip_verify: Flag = False
    """Do not check the server's certificate: passwords can then be read by anyone in between."""
    min_tls_version: TlsVersion = "TLS1.2"
    """Oldest TLS version."""
    max_tls_version: TlsVersion = "TLS1.3"
    """Newest TLS version."""
    tls_ciphers: Texts = ()
    """Cipher suites by their IANA names; empty means the library's choice."""
    root_ca_cert: Paths = ()
    """Files with CA certificates; empty means the system's."""
    client_cert: OptionalPath = None
    """File with our certificate."""
    client_key: OptionalPath = None
    """File with its key."""
    root_ca_cert_value: Text = ""
    """CA certificates in PEM, or base64 of that, instead of or besides ``root_ca_cert``."""
    client_cert_value: Text = ""
    """Our certificate in PEM, or base64 of that, instead of ``client_cert``."""
    client_key_value: SecretText = Field(default_factory=Secret)
    """Its key in PEM, or base64 of that, instead of ``client_key``."""
    timeout: Duration = 10.0
    """Setting up a connection to a host: its name, all its addresses and TLS; 0 means 10 s."""
    request_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """Each operation."""
    login_timeout: Annotated[Duration, Field(gt=0)] = 20.0
    """A whole login on this server."""
    bind_dn: Text = ""
    """Service account, or for single bind a template with ``%s`` for the user name."""
    bind_password: SecretText = Field(default_factory=Secret)
    """Password of the service account."""
    bind_mode: Literal["auto", "service", "anonymous", "unauthenticated", "single", "direct", "upn"] = "auto"
    """How people are found and their passwords checked; ``auto`` follows from what else is given."""
    discover_dn: Flag = False
    """With preset ``vault``: without a service account, people are searched anonymously. Others do so anyway."""
    user_dn: Text = ""
    """Bind mode ``direct``: DN of a user with ``%s`` for the name, or what follows ``user_attr`` and the name in it."""
    user_attr: Text = "uid"
    """Attribute in the first part of a DN that is made of ``user_dn``; ``{{.UserAttr}}`` in ``search_filter``."""
    upn_domain: Text = ""
    """Bind mode ``upn``: what follows the name and ``@``."""
    samaccountname_login: Flag = False
    """Bind mode ``upn``: the entry may also be found by sAMAccountName."""
    attributes: Attributes = Field(default_factory=Attributes)
    search_filter: Text = Field(default_factory=_filter_of)
    """Filter that finds a user; ``%s``, ``{0}`` or ``{{.Username}}`` is the user name. Default: the username attribute
    equals it."""
    search_base_dns: ExactTexts = Field(default_factory=_bases_of)
    """Where users are searched, in order. Default: ``user_dn``."""
    multiple_entries: Literal["refuse", "first"] = "refuse"
    """What to do where the filter finds several people within one base."""
    dereference_aliases: Literal["never", "finding", "searching", "always"] = "never"
    """Alias handling of searches (RFC 4511 4.5.1.3)."""
    group_search_filter: Text = ""
    """Filter that finds a user's groups; empty means the ``member_of`` attribute."""
    group_search_filter_user_attribute: Text = Field(default_factory=_username_of)
    """Attribute of the user that is put into ``group_search_filter``. Default: the username attribute."""
    group_search_base_dns: ExactTexts = ()
    """Where groups are searched; empty means ``search_base_dns``. Given, groups elsewhere have no name."""
    group_attr: Text = "cn"
    """Attribute that holds a group's name."""
    group_comparison: Literal["exact", "dn", "pattern"] = "exact"
    """How ``group_dn`` is compared: as text without regard to ASCII case, as a DN, or as text in which ``*`` stands for
    any characters but a comma."""
    anonymous_group_search: Flag = False
    """Search groups on a connection that is bound as nobody."""
    use_token_groups: Flag = False
    """Active Directory: take the groups from ``tokenGroups`` instead of ``group_search_filter``."""
    primary_group: Flag = False
    """Active Directory: add the user's primary group, which neither ``memberOf`` nor ``member`` tells."""
    nested_groups: Flag = False
    """Add the groups that a user's groups are in, and so on."""
    nested_depth: Annotated[Int, Field(ge=1, le=100)] = 10
    """How many times that is done at most."""
    page_size: Annotated[Int, Field(ge=0, le=100_000)] = 0
    """Entries per page of a group search; 0 means no paging."""
    max_groups: Annotated[Int, Field(ge=1)] = 5000
    """Most groups of one user."""
    require_mapping: Flag = False
    """Refuse who matches no group mapping, where there are any."""
    group_mappings: tuple[GroupMapping, ...] = ()
    """What membership in groups gives, in order."""
    recheck: Literal["service", "none"] = Field(default_factory=_recheck_of)
    """``service``: when a token is renewed, the person is looked up again. ``none``: renewal prolongs nothing. Default:
    ``service`` where people are searched before they bind."""
    verbose_logging: Flag = False
    """Log the attributes and groups of each person who logs in, on one line at level info; never a password. Also read
    above the blocks of an ``ldap.toml``, where early versions of Grafana had it."""
    case_sensitive_names: Flag = False
    """Do not lower-case ``{{.Username}}`` in ``group_search_filter``."""
    username_as_alias: Flag = False
    """Without effect so far; for the Vault API: an identity goes by the name that was typed."""
    use_pre111_group_cn_behavior: Flag = False
    """Only ``CN`` in capitals counts as the name of a group."""
    pool: Pool = Field(default_factory=Pool)
    vault: Mount = Field(default_factory=Mount)
    clearml: ClearmlServer = Field(default_factory=ClearmlServer)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """``(host, port, tls)`` for each host, in order; IPv6 addresses without brackets.

        :raises ValueError: for a host or URL that ``findings`` reports.
        """
        if self.urls:
            return tuple(parse_url(url, start_tls=self.start_tls) for url in self._dialled_urls)
        tls: Tls = "starttls" if self.start_tls else "ldaps" if self.use_ssl else "none"
        default = self.port or (636 if tls == "ldaps" else 389)
        return tuple((host, port or default, tls) for host, port in map(split_host, self.host.split()))

    @property
    def _dialled_urls(self) -> tuple[str, ...]:
        """With preset ``vault`` other schemes are passed over (vault.md 3), unless there is nothing else."""
        if self.preset != "vault":
            return self.urls
        return tuple(url for url in self.urls if url.lower().startswith(("ldap://", "ldaps://"))) or self.urls

    @property
    def mode(self) -> BindMode:
        """``bind_mode`` with ``auto`` decided."""
        return _mode(vars(self))

    @property
    def user_bases(self) -> tuple[str, ...]:
        """Where users are searched. Without a base (possible with preset ``vault``) that is everywhere."""
        return self.search_base_dns or ("",)

    @property
    def group_bases(self) -> tuple[str, ...]:
        """Where groups are searched; nowhere with preset ``vault`` and without a base (vault.md 5)."""
        return self.group_search_base_dns or (() if self.preset == "vault" else self.search_base_dns)

    def findings(self) -> Iterator[Finding]:
        yield from self._name_findings()
        yield from self._address_findings()
        yield from self._tls_findings()
        yield from self._bind_findings()
        yield from self._people_findings()

    def _name_findings(self) -> Iterator[Finding]:
        if self.name.lower() == LOCAL:
            yield Finding(("name",), f"{LOCAL} is the name of the local users")
        elif SERVER_NAME.fullmatch(self.name) is None:
            yield Finding(("name",), "expected letters, digits and . _ - /, a letter or digit first, not digits alone")

    def _address_findings(self) -> Iterator[Finding]:
        for key in ("host", "port", "use_ssl"):
            yield from not_both(key, "urls", (getattr(self, key), self.urls))
        if not self.host.split() and not self.urls:
            yield Finding(("host",), "is needed (or urls)", absence=True)
        try:
            _ = self.endpoints
        except ValueError as error:
            yield Finding(("urls" if self.urls else "host",), str(error))

    def _tls_findings(self) -> Iterator[Finding]:
        for key in ("client_cert", "client_key"):
            yield from not_both(key, f"{key}_value", (getattr(self, key), getattr(self, f"{key}_value")))
        for key, other in (("client_cert", "client_key"), ("client_key", "client_cert")):
            given = next((name for name in (key, f"{key}_value") if getattr(self, name)), "")
            if given and not getattr(self, other) and not getattr(self, f"{other}_value"):
                rests_on = ((other,), (f"{other}_value",))
                yield Finding((given,), f"needs {other} as well", rests_on=rests_on)
        if self.max_tls_version < self.min_tls_version:
            message = "is older than min_tls_version"
            yield Finding(("max_tls_version",), message, rests_on=(("min_tls_version",),))
        if self.ssl_skip_verify:
            yield Finding(("ssl_skip_verify",), "the server's certificate is not checked", "warning")

    def _bind_findings(self) -> Iterator[Finding]:
        if self.mode == "service" and not (self.bind_dn and self.bind_password):
            message = "bind_mode service needs bind_dn and bind_password"
            yield Finding(("bind_dn",), message, absence=True, rests_on=(("bind_password",), ("bind_mode",)))
        if self.mode == "unauthenticated" and self.bind_mode == "auto":
            message = "has no bind_password: searches are not authenticated"
            yield Finding(("bind_dn",), message, "warning", rests_on=(("bind_password",),))
        if self.mode == "single" and PLACEHOLDER.search(self.bind_dn) is None:
            yield Finding(("bind_dn",), "single bind needs %s or {0} in place of the user name")
        if self.recheck == "service" and self.mode not in SEARCH_MODES:
            message = f"bind_mode {self.mode} leaves nobody to look people up as: set none"
            yield Finding(("recheck",), message, rests_on=(("bind_mode",), ("bind_password",)))
        if _ATTRIBUTE.fullmatch(self.user_attr) is None:
            yield Finding(("user_attr",), "expected the name of an attribute")
        if self.upn_domain and _DOMAIN.fullmatch(self.upn_domain) is None:
            yield Finding(("upn_domain",), "expected a domain such as example.com, without @ and blanks")

    def _people_findings(self) -> Iterator[Finding]:
        """How people are found. The Vault API may write a server bit by bit, so for it what is missing is a warning."""
        missing: Severity = "warning" if self.preset == "vault" else "error"
        if self.mode == "direct" and not self.user_dn:
            message = "is needed in bind_mode direct: until then nobody can log in"
            yield Finding(("user_dn",), message, missing, absence=True, rests_on=(("bind_password",),))
        if self.mode == "upn" and not self.upn_domain:
            yield Finding(("upn_domain",), "is needed in bind_mode upn", absence=True, rests_on=(("bind_mode",),))
        if self.mode != "direct" and self.preset != "vault" and not self.search_base_dns:
            yield Finding(("search_base_dns",), "is needed", absence=True, rests_on=(("user_dn",),))
        if self.mode not in ("direct", "upn"):
            if not self.search_filter:
                yield Finding(("search_filter",), "is needed", absence=True)
        elif self.search_filter not in (PRESETS[self.preset].get("search_filter"), _filter_of(vars(self))):
            message = f"is not looked at in bind_mode {self.mode}: it keeps nobody out"
            yield Finding(("search_filter",), message, "warning", rests_on=(("bind_mode",), ("bind_password",)))
