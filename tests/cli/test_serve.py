"""The daemon's life: start, bad configuration, reload, drain, sockets, systemd (issue text: service unit; DECISIONS 26, 27)."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.test_clearml_protocol import password_hash

ROOT = Path(__file__).parents[2]


def people(*names: str) -> str:
    return json.dumps({"login": {"floor": 0}, "users": [{"username": n, "password_hash": HASH} for n in names]})


HASH = password_hash("lovelace")


def command(*arguments: str, cwd: Path = ROOT, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd, input=stdin, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_the_quickstart(tmp_path: Path) -> None:
    """What README shows, on another port: variables override the file."""
    with running(tmp_path, files=[ROOT / "conf/quickstart.conf"]) as daemon:
        daemon.wait_for("try: curl -s -u ada:lovelace http://127.0.0.1:")
        token = daemon.token("ada", "lovelace")
        assert daemon.user(token)["role"] == "admin"
        assert daemon.login("ada", "wrong").verdict == (401, 22)
        state = tmp_path / "state"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        for file in ("gateway.db", "master.key"):
            assert stat.S_IMODE((state / file).stat().st_mode) == 0o600


def test_nobody_at_all(tmp_path: Path) -> None:
    """docs/configuration.md: it starts all the same and warns, behind what explains it."""
    with running(tmp_path, environment={"GF_AUTH_LDAP_CONFIG_FILE": "/etc/grafana/ldap.toml"}) as daemon:
        log = daemon.log
        assert 0 < log.index("GF_AUTH_LDAP_CONFIG_FILE: auth.ldap.enabled is not set") < log.index("nobody can log in")
        assert daemon.call("/healthz/ready").status == 200


def test_all_errors_at_once(tmp_path: Path) -> None:
    """Issue text 8: each with its place, and exit code 78."""
    (tmp_path / "broken.toml").write_text("listen = [\n")
    (tmp_path / "typo.conf").write_text("""{
      lockuot { failures = 5 }
      login { concurrency = many }
      servers = [
        { name = corp, host = a.example.com, search_base_dns = ["dc=x"], root_ca_cert = "missing.pem" }
        { name = CORP, host = b.example.com, search_base_dns = ["dc=x"] }
        { name = other, host = b.example.com, search_base_dns = ["dc=x"], search_filter = "(uid=%s" }
      ]
    }""")
    done = command(
        "serve", "-c", "broken.toml", "-c", "typo.conf", cwd=tmp_path, CLEARML__lockout__failures="several"
    )
    assert done.returncode == 78
    for place, text in (
        ("broken.toml", "not valid TOML"),
        ("typo.conf", 'lockuot: unknown key; did you mean "lockout"?'),
        ("typo.conf", "two of the name CORP"),
        ("typo.conf", "login.concurrency"),
        ("typo.conf", "root_ca_cert"),
        ("typo.conf", "missing.pem"),
        ("typo.conf", "search_filter"),
        ("CLEARML__lockout__failures", "lockout.failures"),
    ):
        assert any(place in line and text in line for line in done.stderr.splitlines()), (place, text, done.stderr)
    assert "Traceback" not in done.stderr


def test_config_check(tmp_path: Path) -> None:
    good = command("config", "check", "-c", "conf/quickstart.conf")
    assert (good.returncode, good.stdout) == (0, "The configuration is good.\n")
    (tmp_path / "bad.yaml").write_text("lisen: []\n")
    bad = command("config", "check", "-c", str(tmp_path / "bad.yaml"))
    assert bad.returncode == 78
    assert "listen" in bad.stderr


def test_without_files_the_environment_is_enough(tmp_path: Path) -> None:
    environment = {"CLEARML__users__ada__password_hash": HASH, "CLEARML__users__ada__name": "Ada L"}
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.user(daemon.token("ada", "lovelace"))["name"] == "Ada L"


def test_hash_password(tmp_path: Path) -> None:
    done = command("users", "hash-password", stdin="a passphrase\n")
    assert done.returncode == 0
    environment = {"CLEARML__users__eve__password_hash": done.stdout.strip()}
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("eve", "a passphrase").status == 200
    assert command("users", "hash-password", stdin="\n").returncode == 1


def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = json.dumps([f"127.0.0.1:{taken.getsockname()[1]}"])
        done = command("serve", CLEARML__listen=listen, CLEARML__state_dir=str(tmp_path / "state"))
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("serve", CLEARML__state_dir=str(tmp_path / "file" / "state"), CLEARML__listen='["127.0.0.1:0"]')
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "gateway.db").write_text("this is no database, and long enough to be looked at " * 50)
    (tmp_path / "state" / "gateway.db").chmod(0o600)
    done = command("serve", CLEARML__state_dir=str(tmp_path / "state"), CLEARML__listen='["127.0.0.1:0"]')
    assert done.returncode == 1
    assert "gateway.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_reload_by_signal(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(people("ada", "bob"))
    with running(tmp_path, files=[file]) as daemon:
        token = daemon.token("bob", "lovelace")
        file.write_text(people("ada", "carol"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event(action="configuration.apply", generation=2, outcome="success")
        assert daemon.login("carol", "lovelace").status == 200
        assert daemon.login("bob", "lovelace").verdict == (401, 22)
        assert daemon.call("/users.get_current_user", bearer=token).verdict == (401, 30)  # DECISIONS 20
        file.write_text("users: [broken\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event(action="configuration.apply", generation=2, outcome="failure")
        assert daemon.login("carol", "lovelace").status == 200
        file.write_text(people("bob"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event(action="configuration.apply", generation=3, outcome="success")
        # Who is called bob now may be somebody else (DECISIONS 1).
        assert daemon.call("/users.get_current_user", bearer=token).verdict == (401, 30)
        assert daemon.call("/users.get_current_user", bearer=daemon.token("bob", "lovelace")).status == 200


def test_reloads_while_people_log_in(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(people("ada"))
    with running(tmp_path, files=[file], environment={"CLEARML__login__cache": "0"}) as daemon:
        statuses: list[int] = []
        stop = threading.Event()

        def keep_logging_in() -> None:
            while not stop.is_set():
                statuses.append(daemon.login("ada", "lovelace").status)

        threads = [threading.Thread(target=keep_logging_in) for _ in range(4)]
        for thread in threads:
            thread.start()
        for generation in range(2, 12):
            file.write_text(people("ada", f"bob{generation}"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_event(action="configuration.apply", generation=generation)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(statuses) > 20
        assert set(statuses) == {200}


def test_keys_that_need_a_restart_are_named(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(people("ada"))
    with running(tmp_path, files=[file]) as daemon:
        file.write_text(people("ada").replace('{"login"', '{"uvloop": false, "login"'))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("in force only after a restart: uvloop")
        assert daemon.login("ada", "lovelace").status == 200


def test_sigterm_lets_a_running_login_finish(tmp_path: Path) -> None:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        server = {"name": "corp", "urls": [slapd.url], "search_base_dns": [BASE_DN]}
        with running(tmp_path, environment={"CLEARML__servers": json.dumps([server])}) as daemon:
            assert daemon.login("alan", "enigma").status == 200
            slapd.pause()
            answers: list[int] = []
            thread = threading.Thread(target=lambda: answers.append(daemon.login("grace", "cobol-1959").status))
            thread.start()
            time.sleep(0.5)
            daemon.signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                daemon.login("alan", "enigma")
            slapd.resume()
            thread.join(10)
            assert answers == [200]
            assert daemon.process.wait(10) == 0
            assert '"stopped"' in daemon.log


def test_readiness_turns_red_while_draining(tmp_path: Path) -> None:
    with running(tmp_path, environment={"CLEARML__http__drain_delay": "1s"}) as daemon:
        assert daemon.call("/healthz/ready").status == 200
        daemon.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert daemon.call("/healthz/ready").status == 503
        assert daemon.call("/healthz/live").status == 200
        assert daemon.process.wait(10) == 0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def test_a_unix_socket(tmp_path: Path) -> None:
    """DECISIONS 27: 0660; the peer is trusted; what a killed daemon left behind is replaced."""
    path = tmp_path / "http.sock"
    daemon = Daemon(tmp_path, listen=f"unix:{path}", environment={"CLEARML__login__floor": "0"}).start()
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        daemon.kill()
        assert path.exists()
        daemon.log_path.unlink()
        daemon.start()
        connection = UnixConnection(path)
        credentials = {"Authorization": "Basic YWRhOng=", "X-Forwarded-For": "198.51.100.7"}
        connection.request("GET", "/auth.login", headers=credentials)
        assert connection.getresponse().status == 401
        connection.close()
        assert daemon.wait_for_event(action="login", client="198.51.100.7")
    finally:
        daemon.stop()
    assert not path.exists()


def test_a_unix_socket_takes_nobodys_place(tmp_path: Path) -> None:
    """Neither a file that is no socket nor the socket of a daemon that runs."""
    (tmp_path / "file").write_text("precious")
    listen = json.dumps([f"unix:{tmp_path}/file"])
    done = command("serve", CLEARML__listen=listen, CLEARML__state_dir=str(tmp_path / "other"))
    assert (done.returncode, (tmp_path / "file").read_text()) == (1, "precious")
    assert "cannot listen" in done.stderr
    path = tmp_path / "http.sock"
    with running(tmp_path, listen=f"unix:{path}"):
        listen = json.dumps([f"unix:{path}"])
        done = command("serve", CLEARML__listen=listen, CLEARML__state_dir=str(tmp_path / "other"))
        assert done.returncode == 1
        assert "Address already in use" in done.stderr
        connection = UnixConnection(path)
        connection.request("GET", "/healthz/live")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize("audit", ["stderr", "off"])
def test_nobody_reads_our_output_and_we_still_end(tmp_path: Path, audit: str) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    environment = {
        "PATH": "/usr/bin:/bin",
        "CLEARML__listen": f'["unix:{tmp_path}/http.sock"]',
        "CLEARML__state_dir": str(tmp_path / "state"),
        "CLEARML__audit__to": audit,
    }
    child = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], cwd=ROOT, env=environment, stderr=write)
    os.close(write)
    try:
        while not (tmp_path / "http.sock").exists():
            assert child.poll() is None
            time.sleep(0.05)
        for _ in range(40):
            child.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        child.terminate()
        assert child.wait(15) == 0
    finally:
        child.kill()
        child.wait()
        os.close(read)


def test_the_reader_of_our_output_has_gone(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve"],
        cwd=ROOT, stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin", "CLEARML__listen": f'["unix:{tmp_path}/s"]', "CLEARML__state_dir": str(tmp_path / "state")},
    )  # fmt: skip
    assert child.stderr is not None
    child.stderr.readline()
    child.stderr.close()
    child.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    child.terminate()
    assert child.wait(15) == 0


def expects_signals(child: subprocess.Popen[str]) -> bool:
    """Whether SIGTERM has a handler and SIGHUP is ignored: before that the interpreter itself is still being read."""
    masks = dict(re.findall(r"^(Sig\w+):\s+([0-9a-f]+)$", Path(f"/proc/{child.pid}/status").read_text(), re.MULTILINE))
    caught, ignored = (int(masks[name], 16) for name in ("SigCgt", "SigIgn"))
    return bool(caught >> (signal.SIGTERM - 1) & 1 and (caught | ignored) >> (signal.SIGHUP - 1) & 1)


def test_a_signal_before_we_are_up(tmp_path: Path) -> None:
    """As PID 1 of a container an early SIGTERM would otherwise be ignored for good."""
    for delay in (0.0, 0.15, 0.3, 0.45):
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env={"PATH": "/usr/bin", "CLEARML__listen": '["127.0.0.1:0"]', "CLEARML__state_dir": str(tmp_path / "state")},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not expects_signals(child):
            assert time.monotonic() < deadline and child.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        child.send_signal(signal.SIGHUP)
        child.terminate()
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said


def test_a_pending_restart_is_named_until_it_is_done(tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(people("ada"))
    with running(tmp_path, files=[file]) as daemon:
        file.write_text(people("ada").replace('{"login"', '{"store": {"synchronous": "normal"}, "login"'))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event(action="configuration.apply", generation=2)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("what is written is in force already")
        file.write_text(people("ada"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event(action="configuration.apply", generation=3)
        assert daemon.log.count("in force only after a restart: store") == 2


def test_messages_to_systemd(tmp_path: Path) -> None:
    """sd_notify(3): READY, RELOADING with its clock, READY again, STOPPING; the watchdog is fed."""
    address = tmp_path / "notify.sock"
    file = tmp_path / "people.yaml"
    file.write_text(people("ada"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10)
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "300000"}
        with running(tmp_path, files=[file], environment=environment) as daemon:

            def next_message(begins: str) -> str:
                while True:
                    text = manager.recv(4096).decode()
                    if text.startswith(begins):
                        return text

            assert next_message("READY=1") == "READY=1\nSTATUS=generation 1, serving"
            assert next_message("WATCHDOG=1")
            file.write_text(people("ada", "bob"))
            daemon.signal(signal.SIGHUP)
            assert "\nMONOTONIC_USEC=" in next_message("RELOADING=1")
            assert next_message("READY=1") == "READY=1\nSTATUS=generation 2, serving"
            file.write_text("users: [broken\n")
            daemon.signal(signal.SIGHUP)
            next_message("RELOADING=1")
            assert "reload failed" in next_message("READY=1")
            daemon.signal(signal.SIGTERM)
            next_message("STOPPING=1")


def test_audit_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    environment = {"CLEARML__audit__to": f"file:{file}", "CLEARML__users__ada__password_hash": HASH}
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("ada", "lovelace").status == 200
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    actions = [json.loads(line)["action"] for line in file.read_text().splitlines()]
    assert actions == ["configuration.apply", "login"]


def test_plain_asyncio_works_too(tmp_path: Path) -> None:
    environment = {"CLEARML__uvloop": "false", "CLEARML__users__ada__password_hash": HASH}
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("ada", "lovelace").status == 200


def test_planted_secrets_never_show(tmp_path: Path) -> None:
    """DECISIONS 40: in no log line, at the noisiest level, raw or encoded."""
    secrets = ("planted-bind-password", "planted-token-secret-0123456789", "planted-user-secret", "planted-login-password")
    server = {
        "name": "corp",
        "urls": ["ldap://127.0.0.1:1"],
        "search_base_dns": [BASE_DN],
        "bind_dn": "cn=x",
        "bind_password": secrets[0],
    }
    environment = {
        "CLEARML__servers": json.dumps([server]),
        "CLEARML__clearml__token_secret": secrets[1],
        "CLEARML__clearml__credentials": json.dumps({"s": {"role": "system", "user_key": "K", "user_secret": secrets[2]}}),
        "CLEARML__log__level": "debug",
        "CLEARML__login__floor": "0",
    }
    with running(tmp_path, environment=environment) as daemon:
        answers = [daemon.login("ada", secrets[3]), daemon.login("K", secrets[2]), daemon.login("K", secrets[3])]
        answers += [daemon.call("/users.get_current_user", bearer=answers[1].data["token"])]
        answers += [daemon.call("/healthz/ready"), daemon.call("/")]
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("what is written is in force already")
        everything = daemon.log + "".join(answer.body.decode() for answer in answers)
        assert answers[1].data["token"] not in daemon.log
    from base64 import b64encode
    from urllib.parse import quote

    for secret in secrets:
        for form in (secret, quote(secret), b64encode(secret.encode()).decode().rstrip("=")[:-1]):
            assert form not in everything
