"""grafana.md 2.6, DECISIONS 6-9, clearml.md 1.3: what the configuration makes of an account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.directory.escape import escape_dn_value
from gateway.grants.mapping import Grants, Refused
from gateway.identity import Account, Group

BASE = "dc=example,dc=com"
COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"


def configuration(
    server: dict[str, Any] | None = None, more: tuple[dict[str, Any], ...] = (), **top: Any
) -> Configuration:
    corp = {"name": "corp", "host": "ldap.example.com", "search_base_dns": (BASE,), **(server or {})}
    return Configuration.model_validate({"state_dir": "/var/empty", "servers": (corp, *more), **top})


def group(name: str, branch: str = "ou=groups") -> Group:
    dn = f"cn={name},{branch},{BASE}"
    return Group(name=name, dn=dn, value=dn)


def account(*names: str, server: str = "corp", username: str = "ada") -> Account:
    return Account(server=server, external_id="1", username=username, groups=tuple(map(group, names)))


def mapping(name: str, **effects: Any) -> dict[str, Any]:
    return {"group_dn": name if name == "*" else f"cn={name},ou=groups,{BASE}", **effects}


SRE, DEV, DEV2, ALL = (
    mapping("sre", org_role="Admin"),
    mapping("dev", org_role="Editor"),
    mapping("dev", org_role="Admin", org_id=2),
    mapping("*", org_role="Viewer"),
)

# mappings, groups, roles: the table of grafana.md 2.6
ORGANISATIONS = [
    ([SRE, DEV, DEV2, ALL], ["sre", "dev"], {1: "Admin", 2: "Admin"}),
    ([SRE, DEV, DEV2, ALL], ["dev"], {1: "Editor", 2: "Admin"}),
    ([SRE, DEV, DEV2, ALL], [], {1: "Viewer"}),
    ([SRE, DEV2], ["dev"], {2: "Admin"}),
    ([ALL, SRE], ["sre"], {1: "Viewer"}),  # the topmost wins
    ([DEV], ["DEV"], {1: "Editor"}),  # ASCII case is ignored
    ([mapping("dév", org_role="Editor")], ["DÉV"], {}),  # and nothing but ASCII case
    ([mapping("dev ", org_role="Editor")], ["dev"], {}),  # whole strings
    ([DEV], ["developers", "de", "dev2"], {}),
]


@pytest.mark.parametrize(("mappings", "groups", "roles"), ORGANISATIONS)
def test_organisation_roles(mappings: list[dict[str, Any]], groups: list[str], roles: dict[int, str]) -> None:
    grants = Grants(configuration({"group_mappings": tuple(mappings)}))
    assert grants.grant(account(*groups)).org_roles == roles


# group_dn, the group's value, whether the mapping matches: grafana.md 6 (patterns on request)
PATTERNS = [
    ("cn=*,ou=groups", "cn=dev,ou=groups", True),
    ("CN=dev-*,ou=groups", "cn=DEV-a,ou=groups", True),
    ("cn=dev-*,ou=groups", "cn=dev,ou=groups", False),
    ("cn=*-dev-*,ou=groups", "cn=a-dev-b,ou=groups", True),
    ("cn=*-dev-*,ou=groups", "cn=a-dev,ou=groups", False),
    ("cn=a*a,ou=groups", "cn=a,ou=groups", False),  # no letter counts twice
    ("cn=a*b*b,ou=groups", "cn=ab,ou=groups", False),
    ("cn=dev*,ou=groups", "cn=dev,ou=mine,ou=groups", False),  # * ends at a comma
    ("cn=dev*,ou=groups", "cn=dev,ou=groups,dc=x", False),  # whole texts
    ("dev-*", "dev-a", True),
    ("cn=dev,ou=groups", "cn=DEV,ou=groups", True),
    ("cn=d.v,ou=groups", "cn=dev,ou=groups", False),
    ("*", "", True),
    ("**", "anything", True),
    ("**", "*", False),  # a group that is called * is not looked at
]


@pytest.mark.parametrize(("pattern", "value", "matches"), PATTERNS, ids=[str(i) for i in range(len(PATTERNS))])
def test_patterns(pattern: str, value: str, matches: bool) -> None:
    """``group_comparison = "pattern"``; without it ``*`` is a letter like others unless it stands alone."""
    mappings = ({"group_dn": pattern, "org_role": "Editor"},)
    person = replace(account(), groups=(Group(value, value=value),) if value else ())
    by_pattern = Grants(configuration({"group_mappings": mappings, "group_comparison": "pattern"}))
    assert bool(by_pattern.grant(person).org_roles) is matches
    exact = Grants(configuration({"group_mappings": mappings}))
    assert bool(exact.grant(person).org_roles) is (pattern == "*" or pattern.lower() == value.lower())


def test_grafana_admin_is_skipped_with_its_mapping() -> None:
    """grafana.md 2.6: a mapping whose organisation has a role already is skipped whole."""
    late = mapping("dev", org_role="Editor", grafana_admin=True)
    grants = Grants(configuration({"group_mappings": (ALL, late)}))
    assert grants.grant(account("dev")).grafana_admin is False
    grants = Grants(configuration({"group_mappings": (late, ALL)}))
    assert grants.grant(account("dev")).grafana_admin is True


def test_a_star_is_no_group() -> None:
    """A group that is called * matches nothing but what matches everyone."""
    grants = Grants(configuration({"group_mappings": (mapping("x", org_role="Admin"),)}))
    assert grants.grant(replace(account(), groups=(Group("*", value="*"),))).org_roles == {}


def test_policies_of_all_matches_are_united() -> None:
    rows = (mapping("dev", policies=("a", "b")), mapping("sre", policies=("c",)), mapping("*", policies=("b", "d")))
    grants = Grants(configuration({"group_mappings": rows}))
    assert grants.grant(account("dev")).policies == ("a", "b", "d")


def test_the_highest_clearml_role_counts() -> None:
    rows = (mapping("dev", clearml_role="superuser"), mapping("*", clearml_role="guest"))
    grants = Grants(configuration({"group_mappings": rows}))
    assert grants.grant(account("dev")).clearml_role == "superuser"
    assert grants.grant(account()).clearml_role == "guest"
    assert Grants(configuration()).grant(account()).clearml_role == "user"


def test_comparison_by_dn() -> None:
    """grafana.md 2.6 CHOICE: off by default, a blank after a comma matters."""
    spaced = {"group_dn": f"CN=dev , OU=Groups, {BASE}", "org_role": "Editor"}
    exact = Grants(configuration({"group_mappings": (spaced,)}))
    assert exact.grant(account("dev")).org_roles == {}
    by_dn = Grants(configuration({"group_mappings": (spaced,), "group_comparison": "dn"}))
    assert by_dn.grant(account("dev")).org_roles == {1: "Editor"}


# require_mapping, mappings, groups, admitted
REQUIRED = [
    (True, (SRE,), ["sre"], True),
    (True, (SRE,), ["dev"], False),
    (True, (), ["dev"], True),  # without any mapping everybody passes
    (True, (mapping("dev", grafana_admin=False),), ["dev"], False),
    (True, (mapping("dev", grafana_admin=True),), ["dev"], True),
    (True, (mapping("dev", policies=("a",)),), ["dev"], True),
    (False, (SRE,), ["dev"], True),
]


@pytest.mark.parametrize(("required", "mappings", "groups", "admitted"), REQUIRED)
def test_require_mapping(required: bool, mappings: tuple[Any, ...], groups: list[str], admitted: bool) -> None:
    grants = Grants(configuration({"group_mappings": mappings, "require_mapping": required}))
    if admitted:
        assert grants.grant(account(*groups))
    else:
        with pytest.raises(Refused, match="no group mapping matched"):
            grants.grant(account(*groups))


LIKE_A_DN = f"cn=admins,ou=groups,{BASE}"
NAMED_LIKE_A_DN = replace(account(), groups=(Group(LIKE_A_DN, "cn=" + escape_dn_value(LIKE_A_DN, equals=True) + f",ou=teams,{BASE}"),))

# entry of admins, account, whether it is one (DECISIONS 8)
ADMINS = [
    ("user:ada", account(server="local"), True),
    ("user:ADA", account(server="local"), True),
    ("user:ada", account(), False),  # user:NAME is a local user
    ("user:corp/ada", account(), True),
    ("user:corp/ada", account(server="local"), False),
    ("user:local/ada", account(server="local"), True),
    ("group:admins", account("admins"), True),
    ("group:Admins", account("ADMINS"), True),
    ("group:admins", account("admins2"), False),
    ("group:corp/admins", account("admins"), True),
    ("group:local/admins", account("admins"), False),
    (f"group:cn=admins,ou=groups,{BASE}", account("admins"), True),
    (f"group:CN=Admins, OU=groups,{BASE}", account("admins"), True),
    (f"group:cn=admins,ou=projects,{BASE}", account("admins"), False),
    (f"group:corp/cn=admins,ou=groups,{BASE}", account("admins"), True),
    (f"group:corp/cn=admins,ou=groups,{BASE}", account("admins", server="lab"), False),
    (f"group:cn=admins,ou=groups,{BASE}", NAMED_LIKE_A_DN, False),
]


@pytest.mark.parametrize(("entry", "who", "administrates"), ADMINS)
def test_administrators(entry: str, who: Account, administrates: bool) -> None:
    lab = {"name": "lab", "host": "lab.example.com", "search_base_dns": (BASE,)}
    grant = Grants(configuration(admins=(entry,), more=(lab,))).grant(who)
    assert grant.admin is administrates
    assert grant.clearml_role == ("admin" if administrates else "user")


def test_nobody_administrates_by_default() -> None:
    assert Grants(configuration()).grant(account("admins", username="admin")).admin is False


def test_a_group_without_name_gives_no_right() -> None:
    """DECISIONS 9: a group outside the bases has a DN, but no name."""
    nameless = replace(account(), groups=(replace(group("admins", "ou=projects"), name=""),))
    assert Grants(configuration(admins=("group:admins", "group:"))).grant(nameless).admin is False


def test_the_clearml_role_alone_administrates_nothing() -> None:
    """DECISIONS 8: admin_users, groups.admins and clearml_role give the ClearML role only."""
    clearml = {"admin_users": ("ADA",), "groups": {"admins": ("sre",)}}
    grants = Grants(configuration({"clearml": clearml, "group_mappings": (mapping("dev", clearml_role="admin"),)}))
    for who in (account(), account("sre", username="x"), account("dev", username="x")):
        grant = grants.grant(who)
        assert (grant.clearml_role, grant.admin) == ("admin", False)
    assert grants.grant(account("other", username="x")).clearml_role == "user"


# groups settings, name of the group, whether its members are ClearML admins (clearml.md 1.3)
GROUP_ADMINS = [
    ({"admins": ("Ops",)}, "Ops", True),
    ({"admins": ("ops",)}, "Ops", False),  # case_sensitive is true by default
    ({"admins": ("ops",), "case_sensitive": False}, "Ops", True),
    ({"admins": (f"cn=Ops,ou=groups,{BASE}",)}, "Ops", False),
    ({"admins": (f"cn=Ops,ou=groups,{BASE}",), "name_parsing": "none"}, "Ops", True),
    ({"admins": ("Ops",), "name_parsing": "none"}, "Ops", False),
]


@pytest.mark.parametrize(("settings", "name", "admin"), GROUP_ADMINS)
def test_groups_admins(settings: dict[str, Any], name: str, admin: bool) -> None:
    grant = Grants(configuration({"clearml": {"groups": settings}})).grant(account(name))
    assert grant.clearml_role == ("admin" if admin else "user")


def test_prohibit_user_login_if_not_in_group() -> None:
    settings = {"clearml": {"groups": {"prohibit_user_login_if_not_in_group": True}}}
    grants = Grants(configuration(settings, vaults={"groups": {"science": {}}}))
    assert grants.grant(account("science"))
    with pytest.raises(Refused, match="prohibit_user_login_if_not_in_group"):
        grants.grant(account("other"))


def test_companies_and_invitations() -> None:
    company = "0" * 32
    grants = Grants(configuration({"clearml": {"default_company": company}}))
    assert grants.grant(account()).company == company
    assert grants.grant(account(server="local")).company == COMPANY
    assert grants.grant(account(), invited_role="admin").clearml_role == "admin"


def test_a_server_that_is_gone() -> None:
    with pytest.raises(Refused, match="no longer configured"):
        Grants(configuration()).grant(account(server="old"))


def test_local_users() -> None:
    """Their own mappings, and the role written beside the name."""
    users = ({"username": "Ada", "clearml_role": "superuser", "disabled": True},)
    grants = Grants(configuration(users=users, group_mappings=({"group_dn": "ops", "org_role": "Admin"},)))
    local = Account(server="local", external_id="ada", username="Ada", groups=(Group("ops", value="ops"),))
    grant = grants.grant(local)
    assert (grant.clearml_role, grant.org_roles) == ("superuser", {1: "Admin"})


# server, user name, whether it reads like somebody else's name (DECISIONS 1, 2)
NAMES = [
    ("corp", "ada", False),
    ("corp", "boss", True),  # a local user
    ("corp", "BOSS ", True),
    ("ldap", "x", False),
    ("ldap", "corp/x", True),
    ("ldap", "Corp/x", True),
    ("ldap", "corporation/x", False),
    ("corp", "lab/x", True),  # of server corp/lab
    ("corp/lab", "x", False),
    ("local", "boss", False),
]


@pytest.mark.parametrize(("server", "name", "elses"), NAMES)
def test_a_name_that_is_somebody_elses(server: str, name: str, elses: bool) -> None:
    more = tuple({"name": one, "host": "ldap.example.com", "search_base_dns": (BASE,)} for one in ("ldap", "corp/lab"))
    grants = Grants(configuration(more=more, users=({"username": "Boss", "disabled": True},)))
    if elses:
        with pytest.raises(Refused, match=r"a local user is called|reads like a name of server corp"):
            grants.grant(account(server=server, username=name))
    else:
        assert grants.grant(account(server=server, username=name))
