"""What a directory can do to us: be down at start, die, hang, come back; and what crowds can (DESIGN 5, DECISIONS 2, 13)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.daemon import Answer, Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, Slapd

PEOPLE = {"grace": "cobol-1959", "alan": "enigma", "jürgen": "pä:ss", "linus": "dontpanic"}


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


def variables(*servers: dict[str, object], **changes: str) -> dict[str, str]:
    return {
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0",
        **{f"CLEARML__{key}": value for key, value in changes.items()},
    }


def server(slapd: Slapd, **changes: object) -> dict[str, object]:
    quick = {"request_timeout": 2, "login_timeout": 3, "pool": {"backoff": 1, "probe": 1}}
    return slapd.server(**{**quick, **changes})


def assert_try_again(answer: Answer) -> None:
    assert answer.verdict == (503, 0)
    assert int(answer.headers["Retry-After"]) > 0


def wait_until_logged_in(daemon: Daemon, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while daemon.login("alan", "enigma").status != 200:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.1)


def test_down_at_start(slapd: Slapd, tmp_path: Path) -> None:
    slapd.stop()
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        daemon.wait_for("server corp is down")
        assert_try_again(daemon.login("alan", "enigma"))
        ready = daemon.call("/healthz/ready")
        assert (ready.status, ready.json["directories"]) == (200, {"up": 0, "down": 1})
        slapd.run()
        wait_until_logged_in(daemon)
        assert daemon.call("/healthz/ready").json["directories"] == {"up": 1, "down": 0}


def test_killed_between_logins(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.kill()
        assert_try_again(daemon.login("alan", "enigma"))
        assert daemon.user(token)["name"] == "Alan Turing"  # a token needs no directory
        slapd.run()
        wait_until_logged_in(daemon)


def test_restarted_between_logins(slapd: Slapd, tmp_path: Path) -> None:
    """The pooled connections are dead; new ones replace them within moments."""
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        slapd.restart()
        wait_until_logged_in(daemon, seconds=5)
        assert [daemon.login("alan", "enigma").status for _ in range(4)] == [200] * 4


def test_hung_in_the_middle_of_a_login(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        slapd.pause()
        started = time.monotonic()
        assert_try_again(daemon.login("alan", "enigma"))
        assert time.monotonic() - started < 6
        slapd.resume()
        wait_until_logged_in(daemon)


def test_killed_in_the_middle_of_a_search(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd))) as daemon, ThreadPoolExecutor(1) as threads:
        assert daemon.login("alan", "enigma").status == 200
        slapd.pause()
        waiting = threads.submit(daemon.login, "alan", "enigma")
        time.sleep(0.3)
        slapd.kill()
        assert_try_again(waiting.result(10))
        slapd.run()
        wait_until_logged_in(daemon)


def test_a_second_host_takes_over(slapd: Slapd, tmp_path: Path) -> None:
    with Slapd.start(COMPANY, directory=tmp_path / "second") as second:
        hosts = server(slapd, urls=[slapd.url, second.url])
        with running(tmp_path, environment=variables(hosts)) as daemon:
            assert daemon.login("alan", "enigma").status == 200
            slapd.kill()
            assert [daemon.login("alan", "enigma").status for _ in range(3)] == [200] * 3


def test_thirty_two_logins_through_four_binds(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd, pool={"binds": 4}))) as daemon:
        people = list(PEOPLE.items()) * 8
        with ThreadPoolExecutor(32) as threads:
            answers = list(threads.map(lambda person: daemon.login(*person), people))
        assert [answer.status for answer in answers] == [200] * 32


def test_a_refused_service_account_is_nobodys_wrong_password(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd, bind_password="wrong"))) as daemon:
        for _ in range(8):
            assert_try_again(daemon.login("alan", "enigma"))
        daemon.wait_for(f"the service account {SERVICE_DN} was refused: 49 invalidCredentials; check bind_dn")
        assert not [event for event in daemon.events if event["outcome"] == "failure"]


def test_a_wrong_password_beats_a_dead_server(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 2: a 503 would make SDKs repeat it into the directory's own lock."""
    dead = server(slapd, name="dead", urls=["ldap://127.0.0.1:1"])
    with running(tmp_path, environment=variables(server(slapd), dead)) as daemon:
        assert daemon.login("alan", "wrong").verdict == (401, 22)
        assert daemon.login("alan", "enigma").status == 200
        assert_try_again(daemon.login("nobody", "x"))


def test_a_missing_base_is_an_error_for_the_operator(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd, search_base_dns=["ou=typo,dc=example,dc=com"]))) as daemon:
        assert daemon.login("alan", "enigma").verdict == (500, 0)
        daemon.wait_for("search below 'ou=typo,dc=example,dc=com' refused: 32 noSuchObject; check search_base_dns")


def test_failures_lock_the_account(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 13: after so many failures even the right password gets the same answer, and no bind is sent."""
    environment = variables(server(slapd), lockout__failures="3")
    with running(tmp_path, environment=environment) as daemon:
        wrong = [daemon.login("alan", "wrong") for _ in range(3)]
        locked = daemon.login("ALAN ", "enigma")
        assert [answer.verdict for answer in (*wrong, locked)] == [(401, 22)] * 4
        daemon.wait_for("the name is locked after too many failures")
        assert daemon.login("grace", "cobol-1959").status == 200
        daemon.stop()
        daemon.log_path.unlink()
        daemon.start()
        assert daemon.login("alan", "enigma").verdict == (401, 22)  # a restart opens no lock


def test_a_lock_ends(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd), lockout__failures="3", lockout__duration="2s")) as daemon:
        assert [daemon.login("alan", "wrong").verdict for _ in range(3)] == [(401, 22)] * 3
        wait_until_logged_in(daemon)


def test_a_lock_holds_for_every_name_of_an_entry(slapd: Slapd, tmp_path: Path) -> None:
    """The second counter is the entry's: names by which it can be found do not multiply the guesses."""
    hosts = server(slapd, search_filter="(|(uid=%s)(mail=%s))")
    with running(tmp_path, environment=variables(hosts, lockout__failures="3")) as daemon:
        for login in ("linus", "torvalds", "linus@example.com"):
            assert daemon.login(login, "wrong").verdict == (401, 22)
        assert daemon.login("penguin@example.com", "dontpanic").verdict == (401, 22)
        daemon.wait_for('"locked after too many failures"')


def test_a_crowd_of_guesses_gets_no_more_binds_than_one_guesser(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd), lockout__failures="3")) as daemon:
        with ThreadPoolExecutor(24) as threads:
            answers = list(threads.map(lambda _: daemon.login("alan", "wrong"), range(24)))
        assert {answer.verdict for answer in answers} == {(401, 22)}
        daemon.wait_for_event(reason="the name is locked after too many failures")
        binds = [event for event in daemon.events if event["reason"].startswith("bind refused")]
        assert len(binds) == 3


def test_an_address_is_throttled(slapd: Slapd, tmp_path: Path) -> None:
    environment = variables(server(slapd), lockout__address_failures="3")
    with running(tmp_path, environment=environment) as daemon:
        far = {"X-Forwarded-For": "198.51.100.7"}
        for name in ("a", "b", "c"):
            assert daemon.login(name, "x", headers=far).verdict == (401, 22)
        throttled = daemon.login("alan", "enigma", headers=far)
        assert throttled.verdict == (429, 0)
        assert int(throttled.headers["Retry-After"]) > 0
        assert daemon.login("alan", "enigma").status == 200  # another address


def test_a_posted_503_is_held_back(slapd: Slapd, tmp_path: Path) -> None:
    """clearml.md 6.1: the SDK repeats a POST's 503 without a pause."""
    slapd.stop()
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        started = time.monotonic()
        assert_try_again(daemon.login("alan", "enigma", method="POST"))
        assert time.monotonic() - started > 3


def test_a_login_is_remembered_for_a_moment(slapd: Slapd, tmp_path: Path) -> None:
    """login.cache: the directory may be gone; a wrong password is never remembered, and a lock beats it."""
    environment = variables(server(slapd), login__cache="30s", lockout__failures="2")
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        slapd.pause()
        assert daemon.login("alan", "enigma").status == 200
        slapd.resume()
        for _ in range(2):
            assert daemon.login("alan", "wrong").verdict == (401, 22)
        assert daemon.login("alan", "enigma").verdict == (401, 22)


def test_two_directories(slapd: Slapd, tmp_path: Path) -> None:
    """Servers in order; the audit event and ClearML's user id tell them apart."""
    other = {"name": "other", "urls": [slapd.url], "search_base_dns": [f"ou=contractors,{BASE_DN}"]}
    with running(tmp_path, environment=variables(server(slapd), other)) as daemon:
        carter, spade = daemon.user(daemon.token("sam", "stargate")), daemon.user(daemon.token("sam", "falcon"))
        assert (carter["name"], spade["name"]) == ("sam", "sam")
        assert carter["id"] != spade["id"]
        assert daemon.wait_for_event(server="corp", user="sam", outcome="success")
        assert daemon.wait_for_event(server="other", user="sam", outcome="success")


def test_a_directory_that_accepts_and_stays_silent_delays_no_start(slapd: Slapd, tmp_path: Path) -> None:
    slapd.pause()
    hosts = server(slapd, request_timeout=10, login_timeout=20)
    started = time.monotonic()
    with running(tmp_path, environment=variables(hosts)) as daemon:
        assert time.monotonic() - started < 8
        daemon.wait_for("server corp is down")
        slapd.resume()
        wait_until_logged_in(daemon)
