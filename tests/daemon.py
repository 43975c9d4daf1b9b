"""The daemon as users run it: a child process, configured by files and variables, spoken to over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 20.0
STOP_SECONDS = 20.0
LISTENS = re.compile(r"listens on (\S+?)[\",]")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def meta(self) -> Any:
        return self.json["meta"]

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def verdict(self) -> tuple[int, int]:
        """Status and subcode; the status is also the envelope's."""
        assert self.meta["result_code"] == self.status
        return self.status, self.meta["result_subcode"]


class Daemon:
    def __init__(
        self,
        directory: Path,
        *,
        files: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        listen: str = "127.0.0.1:0",
    ) -> None:
        self.directory = directory
        self.log_path = directory / "daemon.log"
        self.port = 0
        self._files = files
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "CLEARML__listen": json.dumps([listen]),
            "CLEARML__state_dir": str(directory / "state"),
            "CLEARML__log__format": "json",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        before = len(self.log)
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if found := LISTENS.search(self.log, before):
                if found[1].startswith(("http://", "https://")):
                    self.port = int(found[1].rpartition(":")[2])
                return self
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.log}"
            time.sleep(0.02)
        raise AssertionError(f"the daemon does not listen:\n{self.log}")

    def launch(self) -> None:
        command = [sys.executable, "-m", "gateway", "serve"]
        for file in self._files:
            command += ["-c", str(file)]
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """Audit events so far: they alone have an action."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if "action" in line]

    def wait_for(self, text: str, *, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < deadline, f"{text!r} does not appear in:\n{self.log}"
            time.sleep(0.02)

    def wait_for_event(self, **fields: object) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while True:
            for event in self.events:
                if all(event.get(key) == value for key, value in fields.items()):
                    return event
            assert time.monotonic() < deadline, f"no event {fields} in:\n{self.log}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1])

    def stop(self) -> int:
        """End by SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon does not stop:\n{self.log}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def call(
        self,
        path: str,
        *,
        basic: tuple[str, str] | None = None,
        bearer: str | None = None,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        sent = dict(headers or {})
        if basic is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def login(self, username: str, password: str, **options: Any) -> Answer:
        return self.call("/auth.login", basic=(username, password), **options)

    def token(self, username: str, password: str) -> str:
        answer = self.login(username, password)
        assert answer.status == 200, answer.body
        token: str = answer.data["token"]
        return token

    def user(self, token: str) -> dict[str, Any]:
        answer = self.call("/users.get_current_user", bearer=token)
        assert answer.status == 200, answer.body
        user: dict[str, Any] = answer.data["user"]
        return user


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[Daemon]:
    """A daemon that must also end well, without a traceback anywhere in its life."""
    daemon = Daemon(directory, **options)
    try:
        yield daemon.start()
    finally:
        code = daemon.stop()
    assert code == 0, daemon.log
    assert "Traceback" not in daemon.log, daemon.log
