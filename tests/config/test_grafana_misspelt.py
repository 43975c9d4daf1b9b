"""Keys of ``[auth.ldap]`` and variables that Grafana does not know: most are typing errors (grafana.md 1.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import ConfigurationError, load

ON = "[auth.ldap]\nenabled = true\n"
DEFAULT = "error: /etc/grafana/ldap.toml: cannot be read: No such file or directory (the default, as config_file is not set)"
# what it proves, grafana.ini, variables, what is said
ROWS: list[tuple[str, str, dict[str, str], list[str]]] = [
    ("the key that was meant; nobody names the file", ON + "config_fil = x", {},
        ['warning: D/grafana.ini:3:1: auth.ldap.config_fil: unknown key; did you mean "config_file"?', DEFAULT]),
    ("an empty one is none", ON + "config_file =", {}, [DEFAULT]),
    ("the letter case of keys counts", ON + "Config_File = x", {},
        ['warning: D/grafana.ini:3:1: auth.ldap.Config_File: unknown key; did you mean "config_file"?', DEFAULT]),
    ("Grafana's other keys", ON + "sync_cron = 1 * * * *\nactive_sync_enabled = true", {}, [DEFAULT]),
    ("a variable", ON, {"GF_AUTH_LDAP_CONFIG_FIL": "x", "GF_AUTH_LDAP_SYNC_CRON": "x", "GF_AUTH_LDAPS": "x"},
        ['warning: GF_AUTH_LDAP_CONFIG_FIL: unknown variable; did you mean "GF_AUTH_LDAP_CONFIG_FILE"?', DEFAULT]),
    ("one that is named, and not there", ON + "config_file = none.toml", {},
        ["error: D/none.toml: cannot be read: No such file or directory (D/grafana.ini:3:1 names it)"]),
    ("also while it is not enabled", "[auth.ldap]\nenable = true", {},
        ['warning: D/grafana.ini:2:1: auth.ldap.enable: unknown key; did you mean "enabled"?',
         "warning: configuration: nobody can log in: no servers and no users"]),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "ini", "variables", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_said(tmp_path: Path, proves: str, ini: str, variables: dict[str, str], expected: list[str]) -> None:
    (tmp_path / "grafana.ini").write_text(ini)
    try:
        problems = load([tmp_path / "grafana.ini"], variables, working_directory=tmp_path).warnings
    except ConfigurationError as error:
        problems = error.problems
    told = [f"{problem.severity}: {problem}".replace(str(tmp_path), "D") for problem in problems]
    assert sorted(told) == sorted(expected), proves
