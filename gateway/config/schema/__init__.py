"""The one table of keys: what can be configured, with types, defaults, meaning and checks.

One file per section. Attribute names are the keys of configuration.md, docstrings are their documentation. Nothing here
reads a file, a clock or the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from gateway.access.hosts import MalformedHost, parse_authority, parse_host
from gateway.access.session_cookies import CookieScopes
from gateway.grants.mapping import BUILT_IN_GROUPS
from gateway.identity import LOCAL, fold_name

from .access import AccessControl, AccessRule, QueryCondition
from .address import Address, TcpAddress, UnixAddress
from .clearml import Clearml, Credential
from .conjur import Conjur
from .fields import Addresses, ExactTexts, Flag, KeyedBy, Networks, PathText, Secret, WebUrl
from .grafana import Grafana
from .identity_headers import IdentityHeaders
from .people import PLAIN_FORM, QUICKSTART_HASH, QUICKSTART_USER, Lockout, Login, Tokens, User, plain_form
from .process import Audit, Http, ListenerTls, Log, Reload, Store
from .section import Finding, Section
from .servers import GroupMapping, Server, ServerGroups
from .session import Portal, Session
from .vault import REALM, Mount, Vault, VaultUser
from .vaults import DeclaredVault, VaultGroup, Vaults, people_of

__all__ = [
    "PLAIN_FORM",
    "QUICKSTART_HASH",
    "AccessControl",
    "AccessRule",
    "Address",
    "Configuration",
    "Credential",
    "DeclaredVault",
    "Finding",
    "Grafana",
    "GroupMapping",
    "IdentityHeaders",
    "Mount",
    "Portal",
    "QueryCondition",
    "Secret",
    "Section",
    "Server",
    "ServerGroups",
    "Session",
    "TcpAddress",
    "UnixAddress",
    "User",
    "Vault",
    "VaultGroup",
    "VaultUser",
    "plain_form",
]


def _uvloop_importable() -> bool:
    return find_spec("uvloop") is not None


def _first_listener(data: dict[str, Any]) -> str:
    """The first TCP listener, with ``http://`` or ``https://``; without one ``http://localhost``."""
    for address in data.get("listen", ()):
        if isinstance(address, TcpAddress):
            host = "localhost" if address.host in ("", "0.0.0.0", "::") else address.host  # noqa: S104 - compared
            scheme, usual = ("https", 443) if address.tls else ("http", 80)
            # The system chooses port 0's number when it is too late to know it here; browsers leave out the usual one.
            place = str(TcpAddress(host, address.port)).removesuffix(":0").removesuffix(f":{usual}")
            return f"{scheme}://{place}"
    return "http://localhost"


class Configuration(Section):
    """The whole configuration, frozen."""

    listen: Addresses = (TcpAddress("127.0.0.1", 8008),)
    """Where HTTP is served: ``host:port``, ``[v6]:port`` or ``unix:PATH`` (mode 0660, for members of the daemon's
    group). With TLS: ``https://host:port``."""
    tls: ListenerTls = Field(default_factory=ListenerTls)
    state_dir: PathText = Path("var")
    """Directory of the key ring and the SQLite file. Default: ``$STATE_DIRECTORY``, else ``var``."""
    public_url: WebUrl = Field(default_factory=_first_listener)
    """Address under which people reach the gateway. Default: the first TCP listener."""
    trusted_proxies: Networks = (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128"))
    """Networks of reverse proxies whose forwarding headers are believed."""
    uvloop: Flag = Field(default_factory=_uvloop_importable)
    """Use uvloop. Default: where it can be imported."""
    admins: ExactTexts = ()
    """Administrators: ``user:NAME`` for a local user, ``user:SERVER/NAME`` for one of a directory, ``group:NAME`` for a
    group of any server and of local users, ``group:SERVER/NAME`` for a group of one server, ``group:DN``."""
    group_mappings: tuple[GroupMapping, ...] = ()
    """What membership in groups gives to local users alone, in order; people of a directory have ``servers[]``."""
    http: Http = Field(default_factory=Http)
    reload: Reload = Field(default_factory=Reload)
    store: Store = Field(default_factory=Store)
    log: Log = Field(default_factory=Log)
    audit: Audit = Field(default_factory=Audit)
    servers: Annotated[tuple[Server, ...], KeyedBy("name")] = ()
    """Directories, in the order in which a login is tried against them."""
    users: Annotated[tuple[User, ...], KeyedBy("username")] = ()
    """Local users."""
    lockout: Lockout = Field(default_factory=Lockout)
    login: Login = Field(default_factory=Login)
    tokens: Tokens = Field(default_factory=Tokens)
    session: Session = Field(default_factory=Session)
    access_control: AccessControl = Field(default_factory=AccessControl)
    identity_headers: IdentityHeaders = Field(default_factory=IdentityHeaders)
    portal: Portal = Field(default_factory=Portal)
    clearml: Clearml = Field(default_factory=Clearml)
    vaults: Vaults = Field(default_factory=Vaults)
    vault: Vault = Field(default_factory=Vault)
    conjur: Conjur = Field(default_factory=Conjur)
    grafana: Grafana = Field(default_factory=Grafana)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.store.path(self.state_dir)

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies of the ClearML dialect carry ``Secure``."""
        given = self.clearml.cookie.secure
        return self.public_url.startswith("https://") if given is None else given

    @property
    def web_origins(self) -> tuple[str, ...]:
        """Web origins that get CORS with credentials: always the gateway's own, and what was added to it."""
        parts = urlsplit(self.public_url)
        return tuple(dict.fromkeys((f"{parts.scheme}://{parts.netloc}", *self.clearml.origins)))

    def findings(self) -> Iterator[Finding]:
        yield from _twice("servers", "name", [server.name for server in self.servers])
        yield from _twice("users", "username", [user.username for user in self.users])
        if not self.servers and not self.users:
            message = "nobody can log in: no servers and no users"
            yield Finding((), message, "warning", absence=True, rests_on=(("servers",), ("users",)))
        yield from self._admin_findings()
        yield from self._whitelist_findings()
        yield from self._vault_findings()
        yield from self._exposure_findings()
        yield from self._conjur_findings()
        yield from self._mount_findings()
        yield from self._access_findings()
        if not self.listen:
            yield Finding(("listen",), "needs at least one address")
        yield from self._tls_findings()
        if self.clearml.cookie.same_site == "None" and not self.secure_cookies:
            message = "browsers drop a SameSite=None cookie that is not Secure"
            place = ("clearml", "cookie", "same_site")
            yield Finding(place, message, rests_on=(("clearml", "cookie", "secure"), ("public_url",)))

    def _admin_findings(self) -> Iterator[Finding]:
        for index, admin in enumerate(self.admins):
            kind, _, name = admin.partition(":")
            if kind not in ("user", "group") or not name.strip():
                message = "expected user:NAME, user:SERVER/NAME, group:NAME, group:SERVER/NAME or group:DN"
                yield Finding(("admins", index), message)
            elif message := self._nobody(kind, name):
                rests_on = (("servers",), ("users",))
                yield Finding(("admins", index), message, "warning", absence=True, rests_on=rests_on)

    def _nobody(self, kind: str, name: str) -> str:
        """Why an administrator's name can fit nobody; empty where it may fit somebody."""
        folded = name.lower()
        if any(folded.startswith(f"{server.name.lower()}/") for server in self.servers):
            return ""
        local = fold_name(folded.removeprefix(f"{LOCAL}/"))
        if kind == "user" and any(fold_name(user.username) == local for user in self.users):
            return ""
        # A DN may hold slashes too; a server's name comes before its first =.
        server = name.partition("=")[0].rpartition("/")[0]
        if server and server.lower() != LOCAL:
            return f"there is no server {server}"
        return "user:NAME is for local users, and this is none: write user:SERVER/NAME" if kind == "user" else ""

    def _whitelist_findings(self) -> Iterator[Finding]:
        if self.clearml.registration != "whitelist":
            return
        for index, server in enumerate(self.servers):
            if not server.clearml.default_company:
                message = "is not set, and clearml.registration is whitelist: only those may log in whom ldap-gateway"
                message += " whitelist add or the API names; a default_company admits everyone"
                yield Finding(("servers", index, "clearml", "default_company"), message, "warning", absence=True)

    def _vault_findings(self) -> Iterator[Finding]:
        rests_on = (("servers",), ("users",))
        for place, kind, name in people_of(self.vaults.groups, self.vaults.declared):
            if message := self._nobody(kind, name).replace(f"{kind}:", ""):
                yield Finding(("vaults", *place), message, "warning", absence=True, rests_on=rests_on)
        synced = any(server.clearml.groups.enabled for server in self.servers)
        for name, group in self.vaults.groups.items():
            if not (synced or group.group or group.group_dn or group.users or fold_name(name) in BUILT_IN_GROUPS):
                message = "nobody is in it: give group, group_dn or users"
                yield Finding(("vaults", "groups", name), message, "warning", absence=True, rests_on=(("servers",),))
        companies = {server.clearml.default_company for server in self.servers} | {self.clearml.company, ""}
        for name, vault in self.vaults.declared.items():
            if vault.company not in companies:
                message = "nobody is of this company: neither clearml.company nor a server's default_company names it"
                yield Finding(("vaults", "declared", name, "company"), message, "warning")

    def _conjur_findings(self) -> Iterator[Finding]:
        servers = {fold_name(server.name): server for server in self.servers}
        for name, service in self.conjur.services.items():
            place, rests_on = ("conjur", "services", name), (("servers",), ("users",))
            server = servers.get(fold_name(name))
            if server is None:
                yield Finding(place, f"there is no server {name}", absence=True, rests_on=rests_on)
                continue
            if server.recheck == "none":
                message = "nobody gets an API key: the server has no service account (recheck = none), so nobody could"
                message += " tell whether the owner is still there; clients must send the password"
                yield Finding(place, message, "warning", absence=True, rests_on=rests_on)
            for index, entry in enumerate(service.allow):
                if message := self._not_of(server.name, entry):
                    yield Finding((*place, "allow", index), message, "warning", absence=True, rests_on=rests_on)

    def _not_of(self, server: str, entry: str) -> str:
        """Why an entry in the list of a service can fit nobody of its server; empty where it may fit somebody."""
        kind, _, name = entry.partition(":")
        folded, others = name.strip().lower(), (LOCAL, *(other.name.lower() for other in self.servers))
        owner = max((other for other in others if folded.startswith(f"{other}/")), key=len, default="")
        if owner and owner != server.lower():
            return f"is of {owner}, and the service is for people of {server}"
        # A name with a slash may be meant so, that of a group of an unknown server hardly.
        unknown = "" if owner or kind != "group" else name.partition("=")[0].rpartition("/")[0]
        return f"there is no server {unknown}" if unknown else ""

    def _mount_findings(self) -> Iterator[Finding]:
        targets = {fold_name(server.name) for server in self.servers} | {LOCAL, REALM}
        named = {fold_name(target) for target in self.vault.mounts.values()}
        taken = {fold_name(server.name) for server in self.servers if fold_name(server.name) not in named}
        taken |= {"token", *({LOCAL} - named)}
        for path, target in self.vault.mounts.items():
            place, folded = ("vault", "mounts", path), fold_name(path.strip("/"))
            if fold_name(target) not in targets:
                yield Finding(place, f"there is no server {target}", absence=True, rests_on=(("servers",),))
            if not folded or "//" in folded or folded in taken:
                yield Finding(place, "something else is mounted at this path" if folded in taken else "is no path")
            taken.add(folded)

    def _access_findings(self) -> Iterator[Finding]:
        try:
            parse_authority(urlsplit(self.public_url).netloc)
        except ValueError as error:
            yield Finding(("public_url",), f"is no address of a portal: {error}")
        for index, rule in enumerate(self.access_control.rules):
            if rule.headers and rule.headers not in self.identity_headers.known:
                rests_on = (("identity_headers", "presets"),)
                place = ("access_control", "rules", index, "headers")
                yield Finding(place, self.identity_headers.unknown(rule.headers), rests_on=rests_on)
            if rule.policy == "authenticated" and (outside := self._outside(rule.domain)):
                message = f"{outside} is outside every domain of session.cookies: no login reaches it"
                place, cookies = ("access_control", "rules", index, "domain"), ("session", "cookies")
                yield Finding(place, message, "warning", rests_on=(cookies, ("public_url",)))

    def _outside(self, domains: tuple[str, ...]) -> str:
        """The first of the domains that no session cookie goes to; empty where there is none."""
        pairs = [(cookie.domain, cookie.portal_url) for cookie in self.session.cookies]
        for domain in domains:
            try:
                if CookieScopes(pairs, self.public_url).for_host(parse_host(domain.removeprefix("*."))) is None:
                    return domain
            except MalformedHost:
                return ""
        return ""

    @property
    def serves_https(self) -> bool:
        """Whether a listener speaks TLS."""
        return any(isinstance(address, TcpAddress) and address.tls for address in self.listen)

    def _tls_findings(self) -> Iterator[Finding]:
        listen = (("listen",),)
        for key in ("cert_file", "key_file"):
            given = getattr(self.tls, key)
            if self.serves_https and given is None:
                message = f"is needed: listen has {next(text for text in map(str, self.listen) if '://' in text)}"
                yield Finding(("tls", key), message, absence=True, rests_on=listen)
            elif given is not None and not self.serves_https:
                message = "has no effect: no address of listen begins with https://"
                yield Finding(("tls", key), message, "warning", rests_on=listen)

    def _exposure_findings(self) -> Iterator[Finding]:
        exposed = [address for address in self.listen if not address.loopback]
        if not exposed:
            return
        for index, user in enumerate(self.users):
            if fold_name(user.username) == QUICKSTART_USER and user.password_hash.reveal() == QUICKSTART_HASH:
                message = f"the quickstart's published password is refused while listening on {exposed[0]}"
                yield Finding(("users", index, "password_hash"), message)
        in_clear = [address for address in exposed if not (isinstance(address, TcpAddress) and address.tls)]
        if in_clear and all(network.is_loopback for network in self.trusted_proxies):
            message = f"passwords cross the network in clear text on {in_clear[0]}: write https:// before it, or put a"
            yield Finding(("listen",), f"{message} TLS proxy in front and name it in trusted_proxies", "warning")


def _twice(section: str, key: str, names: list[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        folded = fold_name(name)
        if folded in seen:
            yield Finding((section, index, key), f"there are two of the name {name}: rename one")
        seen.add(folded)
