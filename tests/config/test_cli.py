import subprocess
from pathlib import Path

from config import cli, embedded
from tests.stories.copy_of_tokenworks import command_line, environment

ANY_PORT = 8000  # Nothing listens in these tests.


def test_a_command_that_is_terminated_takes_the_servers_down_with_it(home: Path) -> None:
    waiting = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        command_line("shell", "--no-imports", "-c", waiting),
        env=environment(home, ANY_PORT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "up\n"
        assert embedded.Postgres(home).is_running()
        command.terminate()
    assert command.returncode == 128 + 15
    assert not embedded.Postgres(home).is_running()
    assert not embedded.Valkey(home).is_running()


def test_servers_are_started_for_commands_that_use_them_and_for_no_others() -> None:
    assert cli.needs_servers(["tokenworks", "migrate"])
    assert cli.needs_servers(["tokenworks", "close", "--tenant", "acme"])
    for words in (
        ["help"],
        ["close", "--help"],
        ["simulate"],
        ["replay", "x.csv"],
        ["journal", "list"],
        ["run"],
        ["demo"],
        [],
    ):
        assert not cli.needs_servers(["tokenworks", *words])


def test_a_command_of_a_new_home_finds_its_tables(home: Path) -> None:
    done = subprocess.run(
        command_line("close", "--tenant", "nobody", "--month", "2026-11"),
        env=environment(home, ANY_PORT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "no tenant" in done.stderr
    assert "Traceback" not in done.stderr
