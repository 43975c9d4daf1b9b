"""No output, error, log, audit event or status ever holds a secret: planted ones are looked for in all of them.

Issue, acceptance 4; DECISIONS 40: raw, base64, URL- and JSON-escaped.
"""

from __future__ import annotations

import base64
import json
import signal
import urllib.parse
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from gateway.cli import main
from tests.daemon import running

MASTER_KEY = base64.b64encode(b"planted master key, 32 bytes lon").decode()
SECRETS = {
    "hocon": 'planted hocon "&\\ü',
    "toml": "planted-toml-token-secret/+",
    "variable": "planted variable <%>",
    "file": "planted file ${x} #",
    "credential": "planted credential",
    "user": "planted clear text",
    "typed": "planted typed wrong",
    "master": MASTER_KEY,
}


def forms(secret: str) -> set[str]:
    """How a secret may look in an output."""
    raw = secret.encode()
    shapes = {secret, urllib.parse.quote(secret), urllib.parse.quote_plus(secret), raw.hex(), repr(secret)[1:-1]}
    shapes |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return shapes | {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}


def found(text: str) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(form in text for form in forms(secret))]


def test_the_search_finds_each_form() -> None:
    for name, secret in SECRETS.items():
        assert all(found(f"x{form}y") == [name] for form in forms(secret))


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@dataclass
class Site:
    directory: Path
    environment: dict[str, str]

    @property
    def files(self) -> list[Path]:
        return [self.directory / "a.conf", self.directory / "b.toml"]

    def run(self, *arguments: str, files: bool = True) -> Done:
        """One command as a user runs it, in this process: fifty of its own would take a minute."""
        given = ["config", *arguments]
        for file in self.files if files else ():
            given += ["-c", str(file)]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = main(given)
        return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Secrets in HOCON, TOML, variables, a secret file and a systemd credential."""
    secret = SECRETS["hocon"].replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "a.conf").write_text(f"""{{
      servers = [
        {{ name = one, host = 127.0.0.1, port = 9, search_base_dns = ["dc=x"], bind_dn = "cn=a", bind_password = "{secret}" }}
        {{ name = two, host = 127.0.0.1, port = 9, search_base_dns = ["dc=x"], bind_dn = "cn=a", bind_password_file = password }}
        {{ name = three, host = 127.0.0.1, port = 9, search_base_dns = ["dc=x"], bind_dn = "cn=a" }}
      ]
      apiserver.auth.fixed_users.users = [{{ username = jane, password = "{SECRETS["user"]}" }}]
      admins = ["user:jane"]
      log.level = debug
    }}
    """)
    (tmp_path / "b.toml").write_text(f'[clearml]\ntoken_secret = "{SECRETS["toml"]}"\n')
    (tmp_path / "password").write_text(SECRETS["file"] + "\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "servers.three.bind_password").write_text(SECRETS["credential"])
    environment = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "CLEARML__clearml__credentials__ci__user_key": "KEY",
        "CLEARML__clearml__credentials__ci__user_secret": SECRETS["variable"],
        "CLEARML__tokens__master_key": MASTER_KEY,
        "CLEARML__state_dir": str(tmp_path / "state"),
    }
    return Site(tmp_path, environment)


SHOWING = [
    *(("show", "--format", form, *origin) for form in ("hocon", "toml", "yaml", "json") for origin in ((), ("--origin",))),
    ("check",),
    ("check", "--format", "json"),
    ("check", "--connect"),
]


@pytest.mark.parametrize("arguments", SHOWING, ids=" ".join)
def test_commands(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.run(*arguments)
    assert done.returncode == (1 if "--connect" in arguments else 0), done.stderr
    assert found(done.stdout + done.stderr) == []
    if arguments[0] == "show":
        assert done.stdout.count("******") >= 7, "a secret that is set is shown as set"


ORIGINS = {
    "servers.one.bind_password": ("a.conf", 3),
    "servers.two.bind_password": ("a.conf", 4),
    "servers.three.bind_password": ("credentials/servers.three.bind_password", None),
    "clearml.token_secret": ("b.toml", 2),
    "clearml.credentials.ci.user_secret": ("CLEARML__clearml__credentials__ci__user_secret", None),
    "users.jane.password_hash": ("a.conf", 7),
    "tokens.master_key": ("CLEARML__tokens__master_key", None),
    "log.level": ("a.conf", 9),
    "log.format": ("default", None),
}


def test_origins(site: Site) -> None:
    """Acceptance 4: the right file and line, or variable, for each value."""
    rows = {".".join(row["path"]): row["origin"] for row in json.loads(site.run("show", "--origin", "--format", "json").stdout)}
    for path, (place, line) in ORIGINS.items():
        assert rows[path]["place"].removeprefix(f"{site.directory}/") == place, path
        assert rows[path].get("line") == line, path


def test_difference(site: Site) -> None:
    """Each secret changed, and none told."""
    text = (site.directory / "a.conf").read_text()
    (site.directory / "c.conf").write_text(text.replace("planted", "another"))
    done = site.run("diff", "-c", str(site.directory / "c.conf"), "--against", str(site.directory / "a.conf"), files=False)
    assert done.returncode == 0, done.stderr
    changed = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert changed == ["~ servers.one.bind_password", "~ users.jane.password_hash"]
    assert found(done.stdout + done.stderr) == []


BROKEN = {
    "a.conf": [
        'servers.one.bind_password = "{hocon}',
        "servers.one.bind_password = {hocon}",
        'clearml.token_secret = ["{hocon}"]',
        'clearml {{ token_secret {{ x = "{hocon}" }} }}',
        'clearml.tokensecret = "{hocon}"',
        'users.x.password_hash = "{hocon}"',
        'tokens.master_key = "{hocon}"',
        'tokens.master_key_file = "{hocon}/not/there"',
        'servers.one.bind_password = ${{{user}}}',
        'secure.fixed_user_providers.ldap.password = "{hocon}", servers.ldap.bind_password = "{user}"',
        'users.jane.password_hash = "{hocon}"',
        'include "{user}"',
        '"{user}" {{',
    ],
    "b.toml": [
        'token_secret = "{toml}"',
        'bad = "{toml}',
        "{toml} = 1",
        '[servers."{toml}"]\nbind_password = "{toml}"',
        "x = {toml}",
    ],
}
BROKEN_ROWS = [(file, text) for file, texts in BROKEN.items() for text in texts]


@pytest.mark.parametrize(("file", "text"), BROKEN_ROWS, ids=[row[1][:40] for row in BROKEN_ROWS])
@pytest.mark.parametrize("form", ["text", "json"])
def test_broken_files(site: Site, file: str, text: str, form: str) -> None:
    """Keys may be named; what is written as a value may not. A secret where a key belongs is no value."""
    is_key = text.startswith(('"{', "{toml} =", "[servers"))
    with (site.directory / file).open("a") as output:
        output.write(text.format(**SECRETS) + "\n")
    done = site.run("check", "--format", form)
    assert done.returncode in (0, 78)
    assert "Traceback" not in done.stderr
    assert is_key or found(done.stdout + done.stderr) == []


def everything(site: Site) -> Iterator[str]:
    for arguments in (("status",), ("status", "--format", "json"), ("diff",), ("reload", "--dry-run"), ("reload",)):
        done = site.run(*arguments)
        assert done.returncode in (0, 78), done.stderr
        yield done.stdout + done.stderr


def test_the_running_daemon(site: Site) -> None:
    """Debug log, audit, admin answers, failed reloads and failed logins."""
    shared = {"files": site.files, "environment": site.environment}
    seen: list[str] = []
    with running(site.directory, **shared) as daemon:
        assert daemon.login("jane", SECRETS["user"]).status == 200
        for name in ("jane", "nobody"):
            answer = daemon.login(name, SECRETS["typed"])
            assert answer.status in (401, 503)
            seen.append(answer.body.decode())
        seen += everything(site)
        for path in ("/admin/status", "/admin/config"):
            answer = daemon.call(path, basic=("jane", SECRETS["user"]))
            assert answer.status == 200, answer.body
            seen.append(answer.body.decode())
        text = (site.directory / "a.conf").read_text()
        for broken in ('servers.one.bind_password = "{hocon}', 'users.x.password_hash = "{hocon}"'):
            (site.directory / "a.conf").write_text(text + broken.format(**SECRETS))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_event(action="configuration.apply", outcome="failure")
            seen += everything(site)
        seen.append(daemon.log)
    seen.append(daemon.log)
    assert [name for text in seen for name in found(text)] == []
    assert any("******" in text for text in seen)
