"""conf/proxy/gateway.conf and the blocks of docs/forward-auth.md load with nothing to say of them (forward-auth.md 11)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.load import Snapshot, load

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "conf" / "proxy" / "gateway.conf"
BLOCKS = [
    (page, block)
    for page in ("forward-auth.md", "access.md")
    for block in re.findall(r"^```hocon\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
]
PROXIES = ("nginx.conf", "Caddyfile", "haproxy.cfg", "traefik.yaml", "envoy.yaml")


def said(snapshot: Snapshot) -> list[str]:
    return [str(warning) for warning in snapshot.warnings]


def test_the_example() -> None:
    snapshot = load([EXAMPLE], {})
    assert said(snapshot) == []
    sites = {domain for rule in snapshot.configuration.access_control.rules for domain in rule.domain}
    assert sites == {"app.example.com", "grafana.example.com"}
    for name in PROXIES:
        text = EXAMPLE.with_name(name).read_text()
        assert all(site in text for site in (*sites, "auth.example.com")), name
        assert name in EXAMPLE.with_name("README.md").read_text()


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=lambda value: str(value)[:30])
def test_documented(page: str, block: str, tmp_path: Path) -> None:
    cookies = "" if "session.cookies" in block else 'session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]'
    (tmp_path / "gateway.conf").write_text(f'{block}\n{cookies}\nusers.ada.disabled = true\npublic_url = "https://auth.example.com"\n')
    assert said(load([tmp_path / "gateway.conf"], {})) == []
