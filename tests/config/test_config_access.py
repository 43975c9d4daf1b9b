"""What is said of access rules, identity headers and session cookies (forward-auth.md 9 and 10), and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_lookup import at, load_text, said

from gateway.config.load import ConfigurationError, load
from gateway.config.schema.regexes import regex_warning
from gateway.config.show import shown_tree, written

POLICIES = "expected 'bypass', 'authenticated', 'two_factor' or 'deny'"
HOST = "expected a host such as app.example.com, or *.example.com"
LOOSE = "is found anywhere, because it does not begin with ^"
TOO_LARGE = "is too large once its repetitions are written out: use smaller numbers in {n,m}, or * and +"
SUBJECTS = "expected user:NAME, group:NAME, group:DN, policy:NAME, role:NAME or token:NAME"
PRESETS = "there are remote, auth-request, forwarded, grafana-proxy, grafana-jwt"
NAMED = "a named group is User or Group, in this case: write (?:...) for any other"
R = "access_control.rules"

ROWS: list[tuple[str, str, list[str]]] = [
    ("10: unknown policy", "{ policy = byass }", [f'error: {R}.rule.policy: {POLICIES}; did you mean "bypass"?']),
    ("10: Authelia's words", "{ policy = one_factor }, { policy = allow }", [f'error: {R}.rule.policy: {POLICIES}; did you mean "authenticated"?', f'error: {R}.rule2.policy: {POLICIES}; did you mean "bypass"?']),
    ("10: nobody's word", "{ policy = zzz }, { policy = 1 }", [f"error: {R}.rule.policy: {POLICIES}", f"error: {R}.rule2.policy: {POLICIES}"]),
    ("10: one after another", '{ policy = zzz }, { policy = zzz }, { policy = deny, resources = "(" }', [f"error: {R}.rule.policy: {POLICIES}", f"error: {R}.rule2.policy: {POLICIES}", f"error: {R}.rule3.resources.0: not a regular expression: missing ): ("]),
    ("10: no policy", "{ domain = a.test }", [f"error: {R}.rule.policy: is needed"]),
    ("10: unknown key", "{ policy = deny, polcy = deny }", [f'error: {R}.rule.polcy: unknown key; did you mean "policy"?']),
    ("10: uncompilable", '{ policy = deny, resources = ["^/a", "^/("] }', [f"error: {R}.rule.resources.1: not a regular expression: missing ): ^/("]),
    ("10: uncompilable host", '{ policy = deny, domain_regex = "[" }', [f"error: {R}.rule.domain_regex.0: not a regular expression: missing ]: ["]),
    ("bounded", '{ policy = deny, resources = "^/%s" }' % ("a" * 600), [f"error: {R}.rule.resources.0: is longer than 512 characters"]),
    ("no backtracking", '{ policy = deny, resources = ["^/(a+)+$", "^/.*/.*/.*/edit$"] }', []),
    ("too large", '{ policy = deny, resources = "(.{1,100}x){1,9}" }', [f"error: {R}.rule.resources.0: {TOO_LARGE}"]),
    ("looking ahead", '{ policy = deny, resources = "^/(?!public)" }', [f"error: {R}.rule.resources.0: not a regular expression: invalid perl operator: (?!; it cannot look ahead or behind: write a rule before this one for what it leaves out"]),
    ("looking behind", '{ policy = deny, domain_regex = "(?<=a)b$" }', [f"error: {R}.rule.domain_regex.0: not a regular expression: invalid perl operator: (?<=; it cannot look ahead or behind: write a rule before this one for what it leaves out"]),
    ("a reference back", r'{ policy = deny, resources = "^/(a)/\\1" }', [f"error: {R}.rule.resources.0: not a regular expression: invalid escape sequence: \\1; it cannot refer back to a group"]),
    ("Python's end", r'{ policy = deny, resources = "^/a\\Z" }', [f"error: {R}.rule.resources.0: not a regular expression: invalid escape sequence: \\Z; write $ or \\z for \\Z"]),
    ("possessive", '{ policy = deny, resources = "^/a++" }', [f"error: {R}.rule.resources.0: not a regular expression: bad repetition operator: ++; nothing is tried twice here: write it without the second + and (?>"]),
    ("10: a named group that means nobody", '{ policy = authenticated, resources = "^/(?P<user>[^/]+)/" }', [f"error: {R}.rule.resources.0: {NAMED}"]),
    ("10: bypass with the shorter form", '{ policy = bypass, resources = "^/(?<User>.+)" }', [f"error: {R}.rule.policy: a bypass asks nobody who they are: use policy authenticated with a subject"]),
    ("a loose branch", '{ policy = bypass, resources = "^/public|/static" }', [f"warning: {R}.rule.resources.0: {LOOSE} in each of its branches"]),
    ("a loose group", '{ policy = authenticated, domain_regex = "(?P<User>[a-z]+)[.]home[.]test$" }', [f"warning: {R}.rule.domain_regex.0: {LOOSE}"]),
    ("not tied down", '{ policy = bypass, resources = "public" }', [f"warning: {R}.rule.resources.0: is found anywhere, because it does not begin with ^"]),
    ("a deny may be loose", '{ policy = deny, resources = "admin" }', []),
    ("a loose host", r'{ policy = bypass, domain_regex = "^a\\.test" }', [f"warning: {R}.rule.domain_regex.0: is found in longer hosts too, because it does not end with $"]),
    ("10: bypass with a subject", '{ policy = bypass, subject = "user:a" }', [f"error: {R}.rule.subject: a bypass asks nobody who they are: use policy authenticated with a subject"]),
    ("10: bypass with a named group", '{ policy = bypass, resources = "^/(?P<User>.+)" }', [f"error: {R}.rule.policy: a bypass asks nobody who they are: use policy authenticated with a subject"]),
    ("10: subjects", '{ policy = deny, subject = ["ada", ["user:ada", "who:x"], []] }', [f"error: {R}.rule.subject.{index}: expected user:NAME, group:NAME, group:DN, policy:NAME, role:NAME or token:NAME" for index in range(3)]),
    ("10: kinds of subjects", '{ policy = deny, subject = ["groups:dev", "group=dev", ["user:a", "usr:b"]] }', [f'error: {R}.rule.subject.{index}: {SUBJECTS}; did you mean "{text}"?' for index, text in enumerate(["group:dev", "group:dev", "user:b"])]),
    ("10: a server that does not exist", '{ policy = deny, subject = ["group:corp/a", "group:crop/b", "group:cn=a/b,dc=x", "user:local/a"] }', [f"warning: {R}.rule.subject.1: there is no server crop; there are local, corp"]),
    ("10: much like a server", '{ policy = deny, subject = "user:crop/b" }', [f"warning: {R}.rule.subject.0: there is no server crop; there are local, corp"]),
    ("10: a name with a slash", '{ policy = deny, subject = "group:staff/b" }', []),
    ("10: opens everything", "{ policy = bypass }", [f"warning: {R}.rule.policy: opens every path of every host to everybody: it has no criterion"]),
    ("7: a bypass looks at no credential", "{ policy = bypass, domain = a.test, basic = false, headers = forwarded }", [f"warning: {R}.rule.basic: has no effect: a bypass looks at no credential"]),
    ("10: the query is not in the path", r'{ policy = deny, resources = ["^/a\\?x=1", "^/a[?]x=", "^/a?b", "^/(?P<User>a)=", "^/s?q=", "^/a=b"] }', [f"warning: {R}.rule.resources.{index}: the query is no part of the path, so this finds nothing: use query = [{{ key = ... }}]" for index in (0, 1, 4)]),
    ("a token alone", '{ policy = authenticated, subject = "token:ci" }', [f"warning: {R}.rule.subject.0: people name their tokens themselves: add the user or group whose token it must be"]),
    ("no such role", '{ policy = authenticated, subject = "role:boss" }', [f"warning: {R}.rule.subject.0: there is no role of this name: guest, annotator, user, superuser, admin, system, root"]),
    ("hosts", '{ policy = deny, domain = ["a.test:443", "*.b.test", "a_b.test", "*", "https://a.test", "1.2.3"] }', [f"error: {R}.rule.domain.{index}: {HOST}" for index in (0, 3, 4, 5)]),
    ("methods", "{ policy = deny, methods = [GET, get] }", [f"error: {R}.rule.methods.1: expected a method in capitals, such as GET"]),
    ("networks", '{ policy = deny, networks = ["10.0.0.0/8", home] }', [f"error: {R}.rule.networks.1: expected a network such as 10.0.0.0/8, or a name of access_control.networks"]),
    ("networks by name", "{ policy = deny, networks = [offce] }", [f'error: {R}.rule.networks.0: expected a network such as 10.0.0.0/8, or a name of access_control.networks; did you mean "office"?']),
    ("query: unknown key", "{ policy = deny, query = [[{ key = a, operater = present }, { key = b, zzz = 1 }]] }", [f'error: {R}.rule.query.0.0.operater: unknown key; did you mean "operator"?', f"error: {R}.rule.query.0.1.zzz: unknown key"]),
    ("query: operator", "{ policy = deny, query = [{ key = a, operator = is }] }", [f"error: {R}.rule.query.0.0.operator: expected 'equal', 'not equal', 'present', 'absent', 'pattern' or 'not pattern'"]),
    ("query: pattern", '{ policy = deny, query = [[{ key = a }], { key = a, operator = pattern, value = "(" }] }', [f"error: {R}.rule.query.1: value: not a regular expression: missing ): ("]),
    ("query: no value", "{ policy = deny, query = [{ key = a, operator = present, value = x }] }", [f"error: {R}.rule.query.0: value: has no meaning with present"]),
    ("31: two_factor", "{ policy = two_factor }", [f"warning: {R}.rule.policy: two_factor is never satisfied: this version has no second factor"]),
    ("no such preset", "{ policy = deny, headers = none }", [f"error: {R}.rule.headers: there is no preset none; {PRESETS}"]),
    ("4: outside every cookie", "{ policy = authenticated, domain = [a.example.com, b.test] }", [f"warning: {R}.rule.domain: b.test is outside every domain of session.cookies: no login reaches it"]),
    ("10: shadowed", "{ policy = deny, domain = a.test }, { policy = bypass, domain = A.test, methods = GET }", [f"warning: {R}.rule2: can never be met: rule stands before it and takes all its requests"]),
    ("two of a name", "{ name = x, policy = deny, methods = GET }, { name = X, policy = deny, methods = PUT }", [f"warning: {R}.x (2).name: there is another rule X before it: logs cannot tell them apart"]),
]  # fmt: skip
HEAD = 'servers.corp { host = localhost, search_base_dns = "dc=x" }\naccess_control.networks.office = "10.0.0.0/8"\nusers.a.disabled = true\npublic_url = "https://x.example.com"\nsession.cookies = [{ domain = example.com, portal_url = "https://x.example.com" }]\n'


@pytest.mark.parametrize(("proves", "rules", "expected"), ROWS, ids=lambda value: str(value)[:40])
def test_said_of_rules(tmp_path: Path, proves: str, rules: str, expected: list[str]) -> None:
    assert said(tmp_path, f"{HEAD}access_control.rules = [ {rules} ]") == expected, proves


def test_with_line_numbers(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_text(tmp_path, 'access_control.rules = [\n{ policy = deny,\n  resources = [ "^/",\n  "(" ] } ]', "a.conf")
    assert str(refused.value).startswith(f"{tmp_path}/a.conf:4:3: access_control.rules.rule.resources.1: ")


OTHERS: list[tuple[str, list[str]]] = [
    ('session.cookies = [{ domain = "co.uk", portal_url = "https://a.co.uk" }]', ["error: session.cookies.co.uk.domain: is a public suffix, below which strangers live: browsers take no cookie for it"]),
    ('session.cookies = [{ domain = a.test, portal_url = "https://b.test" }]', ["error: session.cookies.a.test.portal_url: is not within the domain, so its cookie would be refused"]),
    ('session.cookies = [{ domain = a.test, portal_url = "http://a.test" }]', ["error: session.cookies.a.test.portal_url: expected https://: browsers keep no Secure cookie of another address"]),
    ("session { expiration = 60, inactivity = 120 }", ["warning: session.inactivity: is longer than session.expiration, so it never counts"]),
    ("identity_headers.preset = mine", ["error: identity_headers.preset: there is no preset mine; " + PRESETS]),
    ("identity_headers { preset = mine, presets.mine { X-User = username, X-Phone = \"attr:phone\" } }", []),
    ("identity_headers.presets.mine { Set-Cookie = username }", ["error: identity_headers.presets.mine.Set-Cookie: expected a name of letters, digits and hyphens that means nothing else"]),
    ("identity_headers.presets.mine { X_User = username }", ["error: identity_headers.presets.mine.X_User: expected a name of letters, digits and hyphens that means nothing else"]),
    ("identity_headers.presets.mine { X-A = password }", ["error: identity_headers.presets.mine.X-A: expected one of username, name, email, groups, role, token or attr:NAME"]),
    ("identity_headers.presets.mine { X-A = name, x-a = name }", ["error: identity_headers.presets.mine.x-a: is given twice"]),
    ("access_control.accept = [personal, saml]", ["error: access_control.accept.1: expected one of personal, clearml, vault, conjur"]),
    ("access_control.redirect_ports = [0]", ["error: access_control.redirect_ports: expected a list of ports from 1 to 65535"]),
    ('access_control.redirect_hosts = ["a.test:1"]', ["error: access_control.redirect_hosts.0: expected a host such as app.example.com, without a port"]),
    ('access_control.default_redirect = "//evil.test"', ["error: access_control.default_redirect: expected a path such as /account, or an https:// URL"]),
    ('access_control { redirect_ports = [8443, "9443"], redirect_hosts = a.test, default_redirect = "https://a.test/x" }', []),
    ('access_control.default_redirect = "https://a.test/x"', ["warning: access_control.default_redirect: a.test is outside session.cookies and redirect_hosts: nobody is logged in there"]),
    ('public_url = "https://a.test"\naccess_control.default_redirect = "https://a.test/x"', []),
    ("access_control.accept = [personl]", ['error: access_control.accept.0: expected one of personal, clearml, vault, conjur; did you mean "personal"?', "warning: access_control.accept: without personal, the tokens that people make on the page of their account open nothing"]),
    ("access_control.accept = [clearml]", ["warning: access_control.accept: without personal, the tokens that people make on the page of their account open nothing"]),
    ("access_control.default_policy = one_factor", ["error: access_control.default_policy: expected 'deny' or 'authenticated'; did you mean \"authenticated\"?"]),
    ("access_control.default_policy = bypass", ["error: access_control.default_policy: expected 'deny' or 'authenticated'"]),
    ('trusted_proxies = ["10.0.0.0/8", "0.0.0.0/0", "::/0"]', [f"warning: trusted_proxies.{index}: {network} is everybody: whoever reaches the gateway is believed to be any client, at any host" for index, network in ((1, "0.0.0.0/0"), (2, "::/0"))]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), OTHERS, ids=lambda value: str(value)[:60])
def test_said_of_the_rest(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert said(tmp_path, f"users.a.disabled = true\n{text}") == expected


def test_mappings_for_nobody(tmp_path: Path) -> None:
    text = 'servers.corp { host = localhost, search_base_dns = "dc=x" }\ngroup_mappings = [{ group_dn = x, policies = [a] }]'
    assert said(tmp_path, text) == ["warning: group_mappings.0: is for local users, and there are none: servers have group_mappings of their own"]
    assert said(tmp_path, f"{text}\nusers.a.disabled = true") == []


def test_rules_without_a_name_are_never_laid_over_each_other(tmp_path: Path) -> None:
    """A second file appends: the rules of the first stay what they are."""
    for name, policy in (("a.conf", "deny"), ("b.conf", "bypass")):
        (tmp_path / name).write_text(f"access_control.rules = [ {{ policy = {policy}, methods = GET }}, {{ policy = {policy}, methods = PUT }} ]")
    rules = load([tmp_path / "a.conf", tmp_path / "b.conf"], {}).configuration.access_control.rules
    assert [(rule.name, rule.policy) for rule in rules] == [("rule", "deny"), ("rule2", "deny"), ("rule3", "bypass"), ("rule4", "bypass")]


def test_by_variables(tmp_path: Path) -> None:
    configuration = load_text(
        tmp_path,
        "access_control.rules = [ { policy = deny } ]",
        "a.conf",
        CLEARML__access_control__rules__0__policy="authenticated",
        CLEARML__access_control__rules__0__subject='[["user:a", "group:b,c"], "user:d"]',
        CLEARML__access_control__rules__0__query='[{"key": "a"}, [{"key": "b", "operator": "absent"}]]',
        CLEARML__access_control__rules__1__policy="bypass",
        CLEARML__access_control__redirect_ports="8443, 9443",
        CLEARML__identity_headers__presets='{"x": {"X-User": "username"}}',
    ).configuration
    first, second = configuration.access_control.rules
    assert (first.name, first.policy, first.subject) == ("rule", "authenticated", (("user:a", "group:b,c"), ("user:d",)))
    assert [[condition.key for condition in together] for together in first.query] == [["a"], ["b"]]
    assert (second.name, second.policy) == ("rule2", "bypass")
    assert configuration.access_control.redirect_ports == (8443, 9443)
    assert at(configuration, "identity_headers.presets.x") == {"X-User": "username"}


@pytest.mark.parametrize("form", ["hocon", "toml", "yaml", "json"])
def test_what_is_shown_can_be_loaded(tmp_path: Path, form: str) -> None:
    text = """users.a.disabled = true
    access_control { networks.home = ["10.0.0.0/8"], redirect_ports = [1], rules = [ { policy = authenticated, networks = home,
      subject = ["user:a", ["user:b", "group:c"]], query = [{ key = a, value = "1" }, [{ key = b, operator = absent }]] } ] }
    identity_headers.presets.x { X-User = username }"""
    snapshot = load_text(tmp_path, text, "a.conf")
    again = written(shown_tree(snapshot.configuration, snapshot.origins), form)
    suffix = {"hocon": "conf"}.get(form, form)
    loaded = load_text(tmp_path, again, f"b.{suffix}").configuration
    assert loaded.access_control == snapshot.configuration.access_control
    assert loaded.identity_headers == snapshot.configuration.identity_headers


@pytest.mark.parametrize(
    ("pattern", "begins", "ends"),
    [("^/a", True, False), ("/a$", False, True), ("^/a|^/b", True, False), ("^/a|/b", False, False), ("^a$|^b$", True, True), ("^a$|b", False, False), ("^(a|b)$", True, True), ("^a(b|(c|d))$", True, True), ("^[|]$", True, True), (r"^a\|b$", True, True), (r"\Aa|b\z", False, False), (r"\Aa\z", True, True), ("^a|(?i)^b", True, False), ("a", False, False)],
)  # fmt: skip
def test_tied_down(pattern: str, begins: bool, ends: bool) -> None:
    assert (regex_warning(pattern, begins=True, ends=False) == "") is begins
    assert (regex_warning(pattern, begins=False, ends=True) == "") is ends


def test_networks_of_mapped_addresses(tmp_path: Path) -> None:
    """2: clients' addresses are read as IPv4, so the networks are, wherever they are written."""
    text = 'trusted_proxies = ["::ffff:10.0.0.0/104"]\naccess_control.networks.home = ["::ffff:192.0.2.1"]'
    configuration = load_text(tmp_path, text, "a.conf").configuration
    assert [str(network) for network in (*configuration.trusted_proxies, *configuration.access_control.networks["home"])] == ["10.0.0.0/8", "192.0.2.1/32"]


NET, WIDE = 'networks = "10.1.0.0/16"', 'networks = "10.0.0.0/8"'
ONE, OTHER = 'query = [{ key = a, value = "1" }]', 'query = [{ key = a, value = "2" }]'
# first rule, second rule, whether the second can never be met
SHADOWS: list[tuple[str, str, bool]] = [
    ("policy = deny", "policy = bypass", True),
    ("policy = deny, domain = a.test", "policy = bypass", False),
    ('policy = deny, domain = "*.b.test"', "policy = bypass, domain = [a.b.test, c.b.test]", True),
    ('policy = deny, domain = "*.b.test"', "policy = bypass, domain = [a.b.test, b.test]", False),
    ('policy = deny, domain = "*.b.test"', 'policy = bypass, domain = "*.a.b.test"', True),
    ("policy = deny, domain = a.b.test", 'policy = bypass, domain = "*.b.test"', False),
    ('policy = deny, domain_regex = "^a"', 'policy = bypass, domain_regex = "^a$"', False),
    ('policy = deny, resources = "^/"', 'policy = bypass, resources = "^/x"', True),
    ('policy = deny, resources = ["^/x", "^/y"]', 'policy = bypass, resources = "^/x"', True),
    ('policy = deny, resources = "^/x"', "policy = bypass", False),
    ("policy = deny, methods = [GET, PUT]", "policy = bypass, methods = GET", True),
    ("policy = deny, methods = GET", "policy = bypass, methods = [GET, PUT]", False),
    (f"policy = deny, {WIDE}", f"policy = bypass, {NET}", True),
    (f"policy = deny, {NET}", f"policy = bypass, {WIDE}", False),
    ('policy = deny, networks = "::ffff:10.0.0.0/104"', f"policy = bypass, {NET}", True),
    (f"policy = deny, {WIDE}", 'policy = bypass, networks = "::ffff:10.1.0.0/112"', True),
    (f"policy = bypass, {WIDE}", f"policy = deny, {NET}", False),  # met where the client is unknown
    (f"policy = deny, {ONE}", f"policy = bypass, {ONE}", True),
    (f"policy = deny, {ONE}", f"policy = bypass, {OTHER}", False),
    (f"policy = bypass, {ONE}", f"policy = deny, {ONE}", False),  # met where one of several values fits
    ('policy = deny, subject = "group:A"', 'policy = authenticated, subject = [["group:a", "user:b"]]', True),
    ('policy = deny, subject = [["group:a", "user:b"]]', 'policy = authenticated, subject = "group:a"', False),
    ('policy = deny, subject = "group:a"', "policy = authenticated", False),
    ('policy = deny, resources = "^/(?P<User>.+)$"', 'policy = authenticated, resources = "^/(?P<User>.+)$"', False),
]


@pytest.mark.parametrize(("first", "second", "never"), SHADOWS)
def test_shadows(tmp_path: Path, first: str, second: str, never: bool) -> None:
    lines = said(tmp_path, f"{HEAD}access_control.rules = [ {{ {first} }}, {{ {second} }} ]")
    assert any("rule2: can never be met" in line for line in lines) is never
