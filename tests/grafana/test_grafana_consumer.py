"""The judge of the gateway's headers and tokens, held against rows worked out by hand (DECISIONS 41; grafana.md 2.8, 4, 5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from tests.grafana.grafana_consumer import AuthJwt, AuthProxy, Grafana, Refused, User

NOW = 1_800_000_000
KEY = ECKey.generate_key("P-256", auto_kid=True)
OTHER = ECKey.generate_key("P-256", auto_kid=True)
MAPPING = "o1_Admin:1:Admin o1_Editor:1:Editor o1_Viewer:1:Viewer o1_None:1:None o2_Admin:2:Admin o2_Viewer:2:Viewer"
EXPECTED = {"iss": "https://g.test", "aud": "grafana"}


def grafana(before: dict[int, str] | None) -> Grafana:
    made = Grafana(users={"keeper": User("keeper", roles={1: "Admin", 2: "Admin", 3: "Admin"})})
    if before is not None:
        made.users["ada"] = User("ada", roles=dict(before))
    return made


# headers, roles before (None: new), roles after (None: nobody), what it proves
PROXY: list[tuple[dict[str, str], dict[int, str] | None, dict[int, str] | None, str]] = [
    ({}, {1: "Editor"}, None, "4: missing = no identity"),
    ({"X-WEBAUTH-USER": ""}, None, None, "4: empty = no identity"),
    ({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "Editor"}, None, {1: "Editor"}, "4"),
    ({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "Viewer"}, {1: "Admin", 2: "Admin"}, {1: "Viewer"}, "4: removes from all others"),
    ({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "None"}, {1: "Admin", 2: "Editor"}, {1: "None"}, "4: None"),
    ({"X-WEBAUTH-USER": "ada"}, None, {1: "Viewer"}, "4: auto_assign_org_role for new users"),
    ({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": ""}, {2: "Editor"}, {2: "Editor"}, "2.8: an empty role map changes nothing"),
    ({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "editor"}, {2: "Editor"}, {2: "Editor"}, "4: other text is ignored"),
    ({"x-webauth-user": "Bj=C3=B6rk"}, None, {1: "Viewer"}, "4: headers_encoded, any case of names"),
]


@pytest.mark.parametrize(("headers", "before", "after"), [row[:3] for row in PROXY], ids=[str(place) for place in range(len(PROXY))])
def test_auth_proxy(headers: dict[str, str], before: dict[int, str] | None, after: dict[int, str] | None) -> None:
    user = AuthProxy(grafana(before)).request(headers, NOW)
    assert (user and user.roles) == after
    if user and user.login != "ada":
        assert user.login == "Björk"


def test_auth_proxy_syncs_again_for_other_values_or_after_a_time() -> None:
    """4: a changed header value at once, unchanged ones after sync_ttl."""
    site = grafana(None)
    proxy = AuthProxy(site)
    sent = {"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "Editor"}
    proxy.request(sent, NOW)
    site.users["ada"].roles = {2: "Admin"}
    assert proxy.request(sent, NOW + 299) == User("ada", roles={2: "Admin"})
    assert proxy.request(sent, NOW + 300) == User("ada", roles={1: "Editor"})
    assert proxy.request({**sent, "X-WEBAUTH-ROLE": "Viewer"}, NOW + 301) == User("ada", roles={1: "Viewer"})


def test_the_last_admin_of_an_organisation_is_kept() -> None:
    """2.8."""
    site = Grafana(users={"ada": User("ada", roles={1: "Admin", 2: "Admin"})})
    AuthProxy(site).request({"X-WEBAUTH-USER": "ada", "X-WEBAUTH-ROLE": "Viewer"}, NOW)
    assert site.users["ada"].roles == {1: "Admin", 2: "Admin"}


def token(claims: dict[str, Any], key: ECKey = KEY, **header: Any) -> str:
    times = {"iat": NOW, "nbf": NOW, "exp": NOW + 300}
    protected = {"alg": "ES256", "kid": key.kid, **header}
    payload = {"sub": "ada", "login": "ada", **EXPECTED, **times, **claims}
    given = {name: value for name, value in payload.items() if value is not None}
    return jws.serialize_compact({name: value for name, value in protected.items() if value is not None}, json.dumps(given), key)


def jwt(site: Grafana, **settings: Any) -> AuthJwt:
    keys: Any = KeySet([KEY]).as_dict(private=False)
    return AuthJwt(site, lambda: keys, EXPECTED, MAPPING, **settings)


# claims, settings, roles after, admin after; before there are {1: Editor, 3: Admin} and an administrator's flag
TOKENS: list[tuple[dict[str, Any], dict[str, Any], dict[int, str] | int | None, bool, str]] = [
    ({"role": "Viewer", "orgs": ["o1_Viewer"]}, {}, {1: "Viewer"}, False, "5"),
    ({"orgs": ["o1_Viewer", "o2_Admin"]}, {}, {1: "Viewer", 2: "Admin"}, False, "5: several organisations"),
    ({"role": "Editor", "orgs": ["o1_Viewer", "o2_Admin"]}, {}, {1: "Editor", 2: "Admin"}, False, "5: raises each of them"),
    ({"role": "Viewer", "orgs": []}, {}, {1: "Viewer"}, False, "5: only if no label matched, to the default org"),
    ({"role": "Viewer", "orgs": "o2_Admin"}, {}, {1: "Viewer"}, False, "5: a string is ignored"),
    ({"role": "GrafanaAdmin", "orgs": ["o1_Viewer", "o2_Viewer"]}, {}, {1: "Admin", 2: "Admin"}, True, "5: Admin in every organisation"),
    ({"role": "GrafanaAdmin", "orgs": []}, {}, {1: "Admin"}, True, "5: and in the default one if none"),
    ({"role": "Viewer"}, {"allow_assign_grafana_admin": False}, {1: "Viewer"}, True, "5: the flag is left"),
    ({"orgs": []}, {}, 403, True, "5: no usable role, strict"),
    ({"orgs": ["o9_Admin"]}, {}, 403, True, "5: no label of the mapping"),
    ({"role": "admin"}, {}, 403, True, "5: roles are exact"),
    ({"orgs": []}, {"role_attribute_strict": False}, {1: "Editor", 3: "Admin"}, False, "5, 2.8"),
    ({"orgs": ["o1_None"], "role": "None"}, {}, {1: "None"}, False, "2.6: role None"),
    ({"orgs": ["o2_Viewer"]}, {"org_mapping": MAPPING + " o7_Admin:seven:Admin"}, 403, True, "5: one bad entry empties the mapping"),
    ({"orgs": ["o2_Viewer"]}, {"org_mapping": MAPPING.replace(" ", ",")}, {2: "Viewer"}, False, "5: space or comma"),
    ({}, {"skip_org_role_sync": True}, {1: "Editor", 3: "Admin"}, True, "5"),
    ({"sub": None}, {}, None, True, "5: without sub the token is passed over"),
    ({"login": None}, {}, 401, True, "5: at least one of login and email"),
    ({"aud": "other", "role": "Viewer"}, {}, 401, True, "5: expect_claims"),
    ({"iss": "https://g.test/", "role": "Viewer"}, {}, 401, True, "5: compared exactly"),
    ({"exp": NOW - 61, "role": "Viewer"}, {}, 401, True, "5: exp"),
    ({"exp": NOW - 59, "role": "Viewer"}, {}, {1: "Viewer"}, False, "5: about one minute tolerance"),
    ({"nbf": NOW + 61, "role": "Viewer"}, {}, 401, True, "5: nbf"),
    ({"exp": str(NOW + 300), "role": "Viewer"}, {}, 401, True, "5: integers"),
]  # fmt: skip


@pytest.mark.parametrize("row", TOKENS, ids=[str(place) for place in range(len(TOKENS))])
def test_auth_jwt(row: tuple[dict[str, Any], dict[str, Any], dict[int, str] | int | None, bool, str]) -> None:
    claims, settings, after, admin, _ = row
    site = grafana({1: "Editor", 3: "Admin"})
    site.users["ada"].admin = True
    judge = jwt(site)
    for name, value in settings.items():
        setattr(judge, name, value)
    if isinstance(after, int):
        with pytest.raises(Refused) as refused:
            judge.request({"X-JWT-Assertion": token(claims)}, NOW)
        assert refused.value.status == after
        return
    user = judge.request({"x-jwt-assertion": f"Bearer {token(claims)}"}, NOW)
    assert (user and user.roles, site.users["ada"].admin) == (after, admin)


def test_a_set_that_is_kept_does_not_know_new_keys() -> None:
    """5: an unknown kid does not trigger a fetch."""
    keys = [KEY]
    judge = AuthJwt(grafana(None), lambda: KeySet(keys).as_dict(private=False), EXPECTED, MAPPING)  # type: ignore[arg-type,return-value]
    claims = {"role": "Viewer", "exp": NOW + 3600}
    assert judge.request({"X-JWT-Assertion": token(claims)}, NOW)
    keys.append(OTHER)
    with pytest.raises(Refused, match="401 Failed to verify JWT"):
        judge.request({"X-JWT-Assertion": token(claims, OTHER)}, NOW + 599)
    assert judge.request({"X-JWT-Assertion": token(claims, OTHER)}, NOW + 600)
    for bad in (token(claims, KEY, kid=OTHER.kid), token(claims, KEY, kid=None), token(claims)[:-4] + "AAAA", "a.b.c"):
        with pytest.raises(Refused, match="401 Failed to verify JWT"):
            judge.request({"X-JWT-Assertion": bad}, NOW + 601)
