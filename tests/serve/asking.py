"""Questions as proxies put them, and the configuration that the tests of forward auth share."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.serve.test_clearml_protocol import password_hash

ENDPOINTS = ("auth-request", "forward-auth", "ext-authz")

HTML = ("Accept", "text/html")

CONFIGURATION = """
public_url = "https://auth.example.com"
session {
  cookies = [
    { domain = "example.com", portal_url = "https://auth.example.com" }
    { domain = "example.org", portal_url = "https://auth.example.org" }
  ]
}
users = [
  { username = ada, name = "Ada Lovelace", email = "ada@example.com", groups = [dev, ops], password_hash = "HASH" }
  { username = bob, name = "Bob", email = "bob@example.com", groups = [guests], password_hash = "HASH" }
]
clearml.credentials.robot { role = system, user_key = ROBOTKEY, user_secret = robot-secret }
access_control {
  accept = [personal, clearml]
  networks { office = "10.0.0.0/8" }
  rules = [
    { name = secret, domain = "app.example.com", resources = "^/secret(/|$)", policy = deny }
    { name = public, domain = "app.example.com", resources = "^/public(/|$)", policy = bypass }
    { name = office, domain = "app.example.com", resources = "^/office", networks = office, policy = bypass }
    { name = nobasic, domain = "app.example.com", resources = "^/nobasic", policy = authenticated, basic = false }
    { name = admin, domain = "app.example.com", resources = "^/admin(/|$)", subject = "group:ops", policy = authenticated }
    { name = adminrest, domain = "app.example.com", resources = "^/admin(/|$)", policy = deny }
    { name = app, domain = ["app.example.com", "app.example.org", "other.test"], policy = authenticated }
    { name = tokens, domain = "grafana.example.com", query = [{ key = auth_token, operator = present }], policy = deny }
    { name = grafana, domain = "grafana.example.com", policy = authenticated, headers = grafana-proxy }
    { name = keys, domain = "keys.example.com", subject = "group:ops", policy = authenticated }
    { name = keysrest, domain = "keys.example.com", policy = authenticated, basic = false }
    { name = static, domain = "static.test", policy = bypass }
  ]
}
login.floor = 0
lockout { failures = 1000, address_failures = 100000 }
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))


def question(
    endpoint: str,
    url: str = "https://app.example.com/x",
    *headers: tuple[str, str],
    method: str = "GET",
    client: str = "192.0.2.1",
    http: str = "1.1",
) -> bytes:
    """The bytes of a proxy's request about a URL, with the client's own headers behind those of the proxy."""
    parts = urlsplit(url)
    uri = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
    own: list[tuple[str, str]]
    if endpoint == "auth-request":
        first, own = f"GET /api/authz/auth-request HTTP/{http}", [("Host", "gateway")]
        own += [("X-Original-URL", url), ("X-Original-Method", method)]
    elif endpoint == "forward-auth":
        first, own = f"GET /api/authz/forward-auth HTTP/{http}", [("Host", "gateway")]
        own += [("X-Forwarded-Method", method), ("X-Forwarded-Proto", parts.scheme)]
        own += [("X-Forwarded-Host", parts.netloc), ("X-Forwarded-Uri", uri)]
    else:
        first, own = f"{method} /api/authz/ext-authz{uri} HTTP/{http}", [("Host", parts.netloc)]
        own += [("X-Forwarded-Proto", parts.scheme), ("Content-Length", "0")]
    own += [("X-Forwarded-For", client)] if client else []
    lines = [first, *(f"{name}: {value}" for name, value in (*own, *headers))]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n"
