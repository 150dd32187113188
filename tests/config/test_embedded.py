"""The embedded servers, for real: each test has a home of its own, with its own Postgres and Valkey."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from config import embedded
from config.embedded import EmbeddedServerFailed, Postgres, Valkey
from config.env import BadSetting
from tests.waiting import until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

HOLDS = """
import sys
from pathlib import Path
from config import embedded
with embedded.hold(Path(sys.argv[1]), durable=False):
    print("holding", flush=True)
    sys.stdin.read()
"""
CONNECTS_AS_NOBODY = """
import os, pwd, sys
import psycopg
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
try:
    psycopg.connect(sys.argv[1])
except psycopg.OperationalError as refusal:
    print(refusal)
else:
    print("came in")
"""


@contextmanager
def another_holder(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """A second process that holds the servers until its input ends."""
    command = [sys.executable, "-c", HOLDS, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "holding\n"
        yield process


def query(home: Path, statement: str) -> object:
    with psycopg.connect(embedded.database_url(home), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def valkey(home: Path) -> "redis.Redis":
    return redis.Redis.from_url(embedded.redis_url(home), decode_responses=True)


def postmaster_pid(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


def are_running(home: Path) -> list[bool]:
    return [Postgres(home).is_running(), Valkey(home).is_running()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_nobody(home: Path) -> str:
    """What another user of this machine gets to see."""
    command = [sys.executable, "-c", CONNECTS_AS_NOBODY, embedded.database_url(home)]
    return subprocess.run(command, env={"HOME": "/"}, cwd="/", capture_output=True, text=True, check=True).stdout


def test_holding_starts_both_servers_and_leaving_stops_them(home: Path) -> None:
    with embedded.hold(home, durable=False):
        assert query(home, "SELECT current_database()") == "tokenworks"
        with valkey(home) as client:
            assert client.ping()
    assert are_running(home) == [False, False]


def test_postgres_is_version_18_and_listens_on_no_port(home: Path) -> None:
    with embedded.hold(home, durable=False, wanted=(True, False)):
        assert str(query(home, "SHOW server_version")).startswith("18.")
        assert query(home, "SHOW listen_addresses") == ""
        assert are_running(home) == [True, False]


def test_what_was_committed_survives_kill_9_of_postgres(home: Path) -> None:
    with embedded.hold(home, wanted=(True, False)):
        query(home, "CREATE TABLE kept AS SELECT 7 AS number")
        os.kill(postmaster_pid(home), signal.SIGKILL)
        until(lambda: not Postgres(home).is_running(), "Postgres is gone")
        assert embedded.ensure_running(home, [Postgres(home)]) == ["Postgres"]
        assert query(home, "SELECT number FROM kept") == 7


def test_what_was_written_survives_kill_9_of_valkey(home: Path) -> None:
    with embedded.hold(home, wanted=(False, True)):
        with valkey(home) as client:
            client.set("kept", "7")
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Valkey(home).is_running(), "Valkey is gone")
        assert embedded.ensure_running(home, [Valkey(home)]) == ["Valkey"]
        with valkey(home) as client:
            assert client.get("kept") == "7"


def test_data_is_still_there_the_next_time_and_the_stop_was_clean(home: Path) -> None:
    with embedded.hold(home, durable=False):
        query(home, "CREATE TABLE kept AS SELECT 7 AS number")
        with valkey(home) as client:
            client.set("kept", "7")
    with embedded.hold(home, durable=False):
        assert query(home, "SELECT number FROM kept") == 7
        with valkey(home) as client:
            assert client.get("kept") == "7"
    assert "not properly shut down" not in (home / "log" / "postgres.log").read_text()


def test_servers_stay_while_another_process_holds_them(home: Path) -> None:
    with another_holder(home):
        with embedded.hold(home, durable=False):
            pass
        assert are_running(home) == [True, True]
    assert are_running(home) == [False, False]


def test_a_killed_holder_leaves_nothing_running_once_the_next_one_has_left(home: Path) -> None:
    with another_holder(home) as process:
        process.kill()
    assert are_running(home) == [True, True]
    with embedded.hold(home, durable=False):
        assert query(home, "SELECT 1") == 1
    assert are_running(home) == [False, False]


def test_holders_that_come_at_the_same_time_share_one_pair_of_servers(home: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(home)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(3)
        ]
        said = [process.stdout.readline() for process in processes if process.stdout]
        assert said == ["holding\n"] * 3
        for process in processes:
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert are_running(home) == [False, False]


def test_a_start_that_fails_leaves_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_self: Valkey) -> None:
        raise EmbeddedServerFailed

    monkeypatch.setattr(Valkey, "start", fails)
    with pytest.raises(EmbeddedServerFailed), embedded.hold(home, durable=False):
        pass
    assert not Postgres(home).is_running()


def test_a_data_folder_that_was_only_half_made_is_made_again(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("18\n")
    with embedded.hold(home, durable=False, wanted=(True, False)):
        assert query(home, "SELECT 1") == 1


def test_its_folders_are_private(home: Path) -> None:
    with embedded.hold(home, durable=False):
        folders = [home, home / "log", home / "postgres", home / "valkey", embedded.sockets(home)]
        assert [oct(mode(folder)) for folder in folders] == ["0o700"] * 5
        assert oct(mode(embedded.sockets(home) / ".s.PGSQL.5432")) == "0o700"
        assert oct(mode(embedded.sockets(home) / "valkey.sock")) == "0o700"


@needs_root
def test_as_root_postgres_runs_as_a_system_user_of_its_own(home: Path) -> None:
    with embedded.hold(home, durable=False, wanted=(True, False)):
        owner = Path(f"/proc/{postmaster_pid(home)}").stat().st_uid
    assert pwd.getpwuid(owner).pw_name == embedded.SYSTEM_USER


@pytest.fixture
def deep_home(tmp_path: Path) -> Iterator[Path]:
    """A home whose path is too long for a socket."""
    home = tmp_path / ("deep" * 30)
    home.mkdir(mode=0o700)
    yield home
    shutil.rmtree(embedded.sockets(home), ignore_errors=True)


def test_a_long_path_has_its_sockets_in_a_private_folder_elsewhere(deep_home: Path) -> None:
    folder = embedded.sockets(deep_home)
    assert deep_home not in folder.parents
    with embedded.hold(deep_home, durable=False):
        assert oct(mode(folder)) == "0o700"
        assert query(deep_home, "SELECT 1") == 1


@needs_root
def test_another_user_cannot_reach_postgres(deep_home: Path) -> None:
    with embedded.hold(deep_home, durable=False, wanted=(True, False)):
        assert "Permission denied" in as_nobody(deep_home)


@needs_root
def test_another_user_is_refused_even_where_the_folder_was_opened(deep_home: Path) -> None:
    with embedded.hold(deep_home, durable=False, wanted=(True, False)):
        embedded.sockets(deep_home).chmod(0o755)
        (embedded.sockets(deep_home) / ".s.PGSQL.5432").chmod(0o777)
        assert 'Peer authentication failed for user "tokenworks"' in as_nobody(deep_home)


@needs_root
def test_a_socket_folder_that_another_user_made_first_is_refused(deep_home: Path) -> None:
    folder = embedded.sockets(deep_home)
    folder.mkdir()
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(BadSetting, match="belongs to another user"), embedded.hold(deep_home):
        pass


def test_a_link_in_place_of_the_socket_folder_is_refused(deep_home: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    embedded.sockets(deep_home).symlink_to(target)
    try:
        with pytest.raises(BadSetting, match="is a link"), embedded.hold(deep_home):
            pass
        assert oct(mode(target)) == "0o755"
    finally:
        embedded.sockets(deep_home).unlink()


def test_a_log_that_has_grown_too_long_is_cut_and_kept_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 10)
    (home / "log").mkdir()
    log = home / "log" / "valkey.log"
    log.write_text("a long story\n")
    embedded.ensure_running(home, [])
    assert log.read_text() == ""
    assert (home / "log" / "valkey.log.1").read_text() == "a long story\n"


def test_the_secret_key_is_made_once_and_only_this_user_may_read_it(home: Path) -> None:
    secret = embedded.secret_key(home)
    assert len(secret) >= 50
    assert embedded.secret_key(home) == secret
    assert oct(mode(home / "secret_key")) == "0o600"


def test_only_the_addresses_that_are_ours_are_left_to_us(home: Path) -> None:
    ours = embedded.database_url(home), embedded.redis_url(home)
    assert embedded.left_to_us(home, *ours) == (True, True)
    assert embedded.left_to_us(home, "postgresql://db.example/tokenworks", ours[1]) == (False, True)
    assert embedded.left_to_us(home / "other", *ours) == (False, False)
