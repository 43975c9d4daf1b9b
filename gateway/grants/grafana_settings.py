"""What to write into ``grafana.ini``, so that Grafana takes people and roles from the gateway (grafana.md 4, 5). Pure.

The text is read by gopkg.in/ini.v1 with its defaults: ``;`` and ``#`` begin a comment wherever they stand, unless the
value is in backquotes or three double quotes, ``%(x)s`` and ``${x}`` are replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from gateway.grants.organisations import NO_ROLE, label
from gateway.identity import LOCAL

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, GroupMapping

Delivery = Literal["proxy", "jwt"]
PRESETS: Final[dict[Delivery, str]] = {"proxy": "grafana-proxy", "jwt": "grafana-jwt"}

_ROLES: Final = ("Admin", "Editor", "Viewer", NO_ROLE)
_PROXY_FIELDS: Final = {"name": "Name", "email": "Email", "role": "Role"}
"""Ours and Grafana's. Groups are for its team sync, which only Enterprise has, and which must be set up there."""
_LONGEST_CACHE: Final = 600
"""Seconds for which Grafana keeps the key set."""
_WIDEST: Final = 256
"""Addresses of a network that all are proxies, as far as one can believe."""
_NO_RULE: Final = "default_policy"
"""In the place of a rule's name, for what no rule is met by."""
_EXPANDED: Final = re.compile(r"\$(?:__\w+)?\{|%\(")
_EXPANDED_IN_JSON: Final = re.compile(r"[#;`$%']")


class Unwritable(ValueError):
    """A value that Grafana would read as something else; the text says which."""


@dataclass(frozen=True, slots=True)
class GrafanaSettings:
    """The settings for one configuration."""

    text: str
    """For ``grafana.ini``, comments included."""
    warnings: tuple[str, ...]
    """What the operator should look at; also comments of the text."""


def grafana_settings(
    configuration: Configuration,
    delivery: Delivery | None = None,
    grafana_url: str = "",
    before: Sequence[str] = (),
) -> GrafanaSettings:
    """The settings, by the delivery that the configuration asks for unless one is given. Raises Unwritable.

    ``before`` is what to do before Grafana is given them; it comes first.
    """
    given = _Given(configuration)
    chosen, why = (delivery, "as asked for") if delivery else given.delivery()
    way = "by headers ([auth.proxy])" if chosen == "proxy" else "by signed token ([auth.jwt])"
    lines = list(_common(given, grafana_url))
    lines += _proxy(given) if chosen == "proxy" else _jwt(given)
    warnings = tuple(given.warnings(chosen, grafana_url))
    head = [f"FIRST: {step}." for step in before]
    head += [f"People and their roles come {way}: {why}.", *given.needs(chosen)]
    head += [f"WARNING: {warning}." for warning in warnings]
    return GrafanaSettings("\n".join([*(f"# {_one_line(text)}" for text in head), *lines, ""]), warnings)


class _Given:
    """What of a configuration counts here."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.told = not configuration.grafana.skip_org_role_sync
        self.sources: dict[str, Sequence[GroupMapping]] = {
            server.name: server.group_mappings for server in configuration.servers if server.realm
        }
        if configuration.users:
            self.sources[LOCAL] = configuration.group_mappings
        rows = [row for mappings in self.sources.values() for row in mappings] if self.told else []
        roles = {(row.org_id, row.org_role) for row in rows if row.org_role}
        self.roles = sorted(roles, key=lambda pair: (pair[0], _ROLES.index(pair[1])))
        """Every pair of organisation and role that somebody may have."""
        self.orgs = tuple(dict.fromkeys(org for org, _ in self.roles))
        self.makes_admins = any(row.grafana_admin for row in rows)

    @property
    def _elsewhere(self) -> bool:
        """Whether roles are given outside the default organisation."""
        return self.orgs not in ((), (self.configuration.grafana.default_org,))

    @property
    def unmapped(self) -> list[str]:
        """Whose people have no roles at all."""
        rows = self.sources.items()
        return [name for name, given in rows if not any(row.org_role or row.grafana_admin for row in given)]

    def rules(self, delivery: Delivery) -> list[str]:
        """The rules by which that delivery goes."""
        control, default = self.configuration.access_control, self.configuration.identity_headers.preset
        wanted = PRESETS[delivery]
        names = [rule.name for rule in control.rules if rule.policy != "deny" and (rule.headers or default) == wanted]
        return [*names, *([_NO_RULE] if control.default_policy != "deny" and default == wanted else [])]

    def delivery(self) -> tuple[Delivery, str]:
        """The one to choose, and why."""
        if rules := self.rules("jwt"):
            return "jwt", f"rule {rules[0]} has headers = {PRESETS['jwt']}"
        default = self.configuration.grafana.default_org
        if self._elsewhere:
            return "jwt", f"group_mappings give roles in {_orgs(self.orgs)}, and headers speak of {default} alone"
        if self.makes_admins:
            return "jwt", "group_mappings make server administrators (grafana_admin), and headers cannot"
        if not self.told:
            return "proxy", "no roles are told (grafana.skip_org_role_sync)"
        return "proxy", "one organisation, no server administrators"

    def header(self, delivery: Delivery, field: str) -> str:
        """The header of a field in the preset of a delivery; empty where it has none."""
        preset = self.configuration.identity_headers.known[PRESETS[delivery]]
        return next((name for name, given in preset.items() if given == field), "")

    def needs(self, delivery: Delivery) -> Iterator[str]:
        """Versions of Grafana."""
        if delivery == "jwt" and self._elsewhere:
            yield "Needs Grafana 12 or later: before, a token gives one role in the default organisation."
        elif self.roles and (delivery == "proxy" or any(role == NO_ROLE for _, role in self.roles)):
            yield f"Needs Grafana 10 or later, which knows the role {NO_ROLE}."

    def warnings(self, delivery: Delivery, grafana_url: str) -> Iterator[str]:
        """What would go otherwise than one may think."""
        other: Delivery = "jwt" if delivery == "proxy" else "proxy"
        if not self.rules(delivery):
            yield f"no rule of access_control has headers = {PRESETS[delivery]}, so Grafana is told of nobody"
        if rules := self.rules(other):
            yield f"rule {rules[0]} has headers = {PRESETS[other]}, which these settings do not read"
        if grafana_url and (rules := self.rules(delivery)) and not self._reached(rules, grafana_url):
            yield f"no rule with headers = {PRESETS[delivery]} names the host of {grafana_url}"
        wanted = ("username",) if delivery == "proxy" else ("token",)
        yield from (
            f"identity_headers.presets.{PRESETS[delivery]} has no header with the field {field}, which Grafana needs"
            for field in wanted if not self.header(delivery, field)
        )  # fmt: skip
        yield from self._proxy_warnings() if delivery == "proxy" else self._jwt_warnings()
        if (default := self.configuration.grafana.default_org) != 1:
            yield f"grafana.default_org is {default}: organisation {default} must exist before the first login"

    def _reached(self, rules: list[str], grafana_url: str) -> bool:
        if _NO_RULE in rules:
            return True
        host = (urlsplit(grafana_url).hostname or "").lower()
        for rule in self.configuration.access_control.rules:
            names = [domain.lower() for domain in rule.domain]
            below = any(name.startswith("*.") and host.endswith(name[1:]) for name in names)
            anywhere = rule.domain_regex or not names
            if rule.name in rules and (anywhere or host in names or below):
                return True
        return False

    def _proxy_warnings(self) -> Iterator[str]:
        default = self.configuration.grafana.default_org
        if others := [org for org in self.orgs if org != default]:
            yield (
                f"group_mappings give roles in {_orgs(others)}: the header speaks of organisation {default} alone, and "
                "Grafana takes people out of all others; --delivery jwt does not"
            )
        if self.makes_admins:
            yield "server administrators (grafana_admin) are not made by headers; --delivery jwt makes them"
        for network in self.configuration.trusted_proxies:
            if network.num_addresses > _WIDEST:
                yield f"every host of {network} may tell Grafana to be anybody: leave only the proxies in whitelist"
        if not self.configuration.trusted_proxies:
            yield "trusted_proxies is empty: write into whitelist from where your proxy connects to Grafana"

    def _jwt_warnings(self) -> Iterator[str]:
        if not self.configuration.public_url.startswith("https://"):
            yield f"Grafana reads the key set over https alone, and public_url is {self.configuration.public_url}"
        if self.roles and self.unmapped:
            yield (
                f"{', '.join(self.unmapped)}: no group_mappings there give roles, so these people get Grafana's "
                "auto_assign_org_role, and role_attribute_strict must be false"
            )
        for mappings in self.sources.values() if self.told else ():
            for admin, row in lowered_admins(mappings):
                yield (
                    f"Grafana makes its administrators Admin wherever they have a role: who is one by {admin.group_dn} "
                    f"is so in organisation {row.org_id}, too, where {row.group_dn} says {row.org_role}"
                )


def lowered_admins(mappings: Sequence[GroupMapping]) -> Iterator[tuple[GroupMapping, GroupMapping]]:
    """Mappings that make server administrators, each with one that may give the same person less than Admin
    (grafana.md 5). In ``ldap.toml`` flag and roles are independent, in a token they are not.
    """
    for place, admin in enumerate(mappings):
        if not admin.grafana_admin:
            continue
        for other, row in enumerate(mappings):
            # In one organisation the first match rules, flag included (grafana.md 2.6).
            overruled = row.org_id == admin.org_id and other != place and (other < place or bool(admin.org_role))
            if row.org_role not in ("", "Admin") and not overruled:
                yield admin, row
                break


def _common(given: _Given, grafana_url: str) -> Iterator[str]:
    if grafana_url:
        yield from ("", "[server]", f"root_url = {_value(grafana_url)}")
    if (default := given.configuration.grafana.default_org) != 1:
        yield from ("", "[users]", "auto_assign_org = true", f"auto_assign_org_id = {default}")
    yield from ("", "[auth.ldap]", "# Or Grafana asks LDAP again.", "enabled = false")


def _proxy(given: _Given) -> Iterator[str]:
    configuration = given.configuration
    encoding = configuration.identity_headers.encoding_of(PRESETS["proxy"])
    fields = {ours: theirs for ours, theirs in _PROXY_FIELDS.items() if given.told or ours != "role"}
    headers = [f"{theirs}:{name}" for ours, theirs in fields.items() if (name := given.header("proxy", ours))]
    # Of an address without prefix length Grafana makes a /32, of IPv6 too.
    networks = ", ".join(map(str, configuration.trusted_proxies)) or "127.0.0.1/32, ::1/128"
    yield from (
        "", "[auth.proxy]", "enabled = true",
        f"header_name = {given.header('proxy', 'username') or 'X-WEBAUTH-USER'}", "header_property = username",
        f"auto_sign_up = {_flag(configuration.grafana.allow_sign_up)}",
        "# Minutes. What has changed counts at once.", "sync_ttl = 5",
        "# From where your proxy connects to Grafana: nobody else may send these headers.", f"whitelist = {networks}",
        f"headers = {' '.join(headers)}", f"headers_encoded = {_flag(encoding == 'quoted-printable')}",
        "enable_login_token = false",
    )  # fmt: skip


def _jwt(given: _Given) -> Iterator[str]:
    configuration = given.configuration
    grafana = configuration.grafana
    cache_seconds = min(int(grafana.jwt.key_overlap) * 2 // 3, _LONGEST_CACHE)
    strict = bool(given.roles or given.makes_admins) and not given.unmapped
    yield from (
        "", "[auth.jwt]", "enabled = true",
        f"header_name = {given.header('jwt', 'token') or 'X-JWT-Assertion'}",
        f"jwk_set_url = {_value(f'{configuration.public_url}/.well-known/jwks.json')}",
        "# Shorter than grafana.jwt.key_overlap: a new key is published for that long before it signs.",
        f"cache_ttl = {cache_seconds}s" if cache_seconds % 60 else f"cache_ttl = {cache_seconds // 60}m",
        "# No token out of the address (auth_token): links would carry people's identity.", "url_login = false",
        "username_claim = login", "email_claim = email", f"auto_sign_up = {_flag(grafana.allow_sign_up)}",
        f"expect_claims = {_json({'iss': configuration.public_url, 'aud': grafana.jwt.audience})}",
        "role_attribute_path = role", f"role_attribute_strict = {_flag(strict)}",
        f"allow_assign_grafana_admin = {_flag(given.told)}",
    )  # fmt: skip
    if given.roles:
        yield "org_attribute_path = orgs"
        yield "# Complete: one entry that Grafana cannot read empties it, without a word."
        yield f"org_mapping = {' '.join(f'{label(org, role)}:{org}:{role}' for org, role in given.roles)}"
    yield f"skip_org_role_sync = {_flag(not given.told)}"


def _orgs(orgs: Sequence[int]) -> str:
    return f"organisation{'s' if len(orgs) > 1 else ''} {', '.join(map(str, orgs))}"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _value(text: str) -> str:
    """A value, in quotes where it needs them. Raises Unwritable."""
    if not text.isprintable() or _EXPANDED.search(text):
        raise Unwritable(f"{_one_line(text)}: Grafana would read this as something else")
    if not re.search(r"[#;`]|^['\" ]|[\\ ]$", text):
        return text
    if "`" not in text:
        return f"`{text}`"
    if '"""' in text or text.endswith('"'):
        raise Unwritable(f"{text}: this has quotes of all kinds, and none are left to put around it")
    return f'"""{text}"""'


def _json(value: dict[str, str]) -> str:
    """One line of JSON in which nothing means anything to an ini file."""
    return _EXPANDED_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, separators=(",", ":")))


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
