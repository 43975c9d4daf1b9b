"""DECISIONS 28 and clearml.md 2: which dialect owns a raw target."""

from __future__ import annotations

import pytest

from gateway.serve.dispatch import Owner, dispatch
from gateway.serve.target import parse_target

# raw target, owner, path as the owner reads it
TARGETS = [
    ("/", Owner.ROOT, "/"),
    ("http://host.example", Owner.ROOT, "/"),  # absolute form (RFC 9112 3.2.2) is reduced to its path
    ("/?x=1", Owner.ROOT, "/"),
    ("/healthz/live", Owner.LIVE, "/healthz/live"),
    ("/healthz/ready", Owner.READY, "/healthz/ready"),
    ("/healthz/live/", Owner.NOBODY, "/healthz/live/"),
    ("/auth.login", Owner.CLEARML, "/auth.login"),
    ("/auth.login/", Owner.CLEARML, "/auth.login/"),
    ("/auth.login?expiration_sec=5", Owner.CLEARML, "/auth.login"),
    ("/api/auth.login", Owner.CLEARML, "/auth.login"),
    ("/v2.5/auth.login", Owner.CLEARML, "/v2.5/auth.login"),
    ("/api/v2.1/auth.login", Owner.CLEARML, "/v2.1/auth.login"),
    ("/v999.0/auth.login", Owner.CLEARML, "/v999.0/auth.login"),
    ("http://host.example:8008/auth.login?a=b", Owner.CLEARML, "/auth.login"),
    ("/v2/auth.login", Owner.CLEARML, "/v2/auth.login"),  # ClearML's own 400
    ("/api/v2/auth.login", Owner.CLEARML, "/v2/auth.login"),
    ("/foo.bar", Owner.CLEARML, "/foo.bar"),  # ClearML's own 404
    ("/a.b.c", Owner.CLEARML, "/a.b.c"),
    ("/v1/auth.login", Owner.VAULT, "/v1/auth.login"),  # vault.md 1: everything below /v1/
    ("/v1/sys/health", Owner.VAULT, "/v1/sys/health"),
    ("/v1/auth/ldap/login/a%2Fb?x=1", Owner.VAULT, "/v1/auth/ldap/login/a%2Fb"),
    ("http://host.example/v1/sys/health", Owner.VAULT, "/v1/sys/health"),
    ("/v1/", Owner.VAULT, "/v1/"),
    ("/v1", Owner.CLEARML, "/v1"),
    ("/api/v1/sys/health", Owner.NOBODY, "/api/v1/sys/health"),
    ("//v1/sys/health", Owner.NOBODY, "//v1/sys/health"),
    ("/favicon.ico", Owner.PORTAL, "/favicon.ico"),
    ("/robots.txt", Owner.PORTAL, "/robots.txt"),
    ("/openapi.yaml", Owner.OPENAPI, "/openapi.yaml"),
    ("/api/openapi.yaml", Owner.NOBODY, "/api/openapi.yaml"),
    ("/.well-known/jwks.json?x=1", Owner.KEY_SET, "/.well-known/jwks.json"),
    ("/.well-known/jwks.json/", Owner.NOBODY, "/.well-known/jwks.json/"),
    ("/api/.well-known/jwks.json", Owner.NOBODY, "/api/.well-known/jwks.json"),
    ("/admin/reload?dry_run", Owner.ADMIN, "/admin/reload"),
    ("/admin/", Owner.ADMIN, "/admin/"),
    ("/admin/x.y", Owner.ADMIN, "/admin/x.y"),
    ("/admin", Owner.NOBODY, "/admin"),
    ("/admin.get", Owner.CLEARML, "/admin.get"),
    ("/api/authz/auth-request", Owner.AUTHZ, "/api/authz/auth-request"),
    ("/api/authz/forward-auth?q=1", Owner.AUTHZ, "/api/authz/forward-auth"),
    ("/api/authz/ext-authz", Owner.AUTHZ, "/api/authz/ext-authz"),
    ("/api/authz/ext-authz/auth.login", Owner.AUTHZ, "/api/authz/ext-authz/auth.login"),
    ("/api/authz/ext-authz//v2.1/x", Owner.AUTHZ, "/api/authz/ext-authz//v2.1/x"),
    ("/api/authz/ext-authzx", Owner.NOBODY, "/api/authz/ext-authzx"),
    ("/api/authz/auth-request/", Owner.NOBODY, "/api/authz/auth-request/"),
    ("/api/authz/forward-auth/x", Owner.NOBODY, "/api/authz/forward-auth/x"),
    ("/api/authz/", Owner.NOBODY, "/api/authz/"),
    ("/api/authz/%61uth-request", Owner.NOBODY, "/api/authz/%61uth-request"),
    ("/authz/auth-request", Owner.NOBODY, "/authz/auth-request"),
    ("/api/admin/ldap/x", Owner.GRAFANA, "/api/admin/ldap/x"),
    ("/api/admin/ldap/a.b%2Fc", Owner.GRAFANA, "/api/admin/ldap/a.b%2Fc"),  # a login, not a service of ClearML's
    ("/api/admin/ldap", Owner.NOBODY, "/api/admin/ldap"),
    ("/admin/ldap/x", Owner.ADMIN, "/admin/ldap/x"),
    ("//admin/reload", Owner.NOBODY, "//admin/reload"),
    ("/whoami", Owner.CONJUR, "/whoami"),
    ("/whoami/", Owner.NOBODY, "/whoami/"),
    ("/api/whoami", Owner.NOBODY, "/api/whoami"),
    ("/authenticators?x", Owner.CONJUR, "/authenticators"),
    ("/authn/o/host%2Fa.b/authenticate", Owner.CONJUR, "/authn/o/host%2Fa.b/authenticate"),
    ("/authn-ldap/corp/o/login", Owner.CONJUR, "/authn-ldap/corp/o/login"),
    ("/api/authn-ldap/users/a.b/authenticate", Owner.CONJUR, "/api/authn-ldap/users/a.b/authenticate"),
    ("/api/authn/o/login", Owner.NOBODY, "/api/authn/o/login"),
    ("//authn-ldap/corp/o/login", Owner.NOBODY, "//authn-ldap/corp/o/login"),
    ("/authn-ldap", Owner.NOBODY, "/authn-ldap"),
    ("/authn.login", Owner.CLEARML, "/authn.login"),
    ("/api/vaults/merged?user=x", Owner.VAULTS, "/api/vaults/merged"),
    ("/api/vaults.x", Owner.CLEARML, "/vaults.x"),
    ("/static/x.css", Owner.PORTAL, "/static/x.css"),
    ("/login", Owner.PORTAL, "/login"),
    ("/api", Owner.NOBODY, "/api"),
    ("/api/", Owner.NOBODY, "/api/"),
    ("/api/api/auth.login", Owner.NOBODY, "/api/api/auth.login"),
    ("//auth.login", Owner.NOBODY, "//auth.login"),
    ("/x/../auth.login", Owner.NOBODY, "/x/../auth.login"),
    ("/auth%2Elogin", Owner.NOBODY, "/auth%2Elogin"),  # decided on what came over the wire, not on what it decodes to
    ("/healthz%2flive", Owner.NOBODY, "/healthz%2flive"),
    ("*", Owner.NOBODY, "*"),
]


@pytest.mark.parametrize(("raw", "owner", "path"), TARGETS)
def test_owner(raw: str, owner: Owner, path: str) -> None:
    found, target = dispatch(parse_target(raw))
    assert (found, target.path) == (owner, path)


def test_query_is_kept_undecoded() -> None:
    assert parse_target("/a.b?x=%31#y").query == "x=%31"
