"""Settings from the environment: what is read, what is refused, and whether the refusal helps."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import env, settings
from config.env import BadSetting

NAME = "TOKENWORKS_SAMPLE"


@pytest.fixture(autouse=True)
def known_settings_stay_as_they_are() -> Iterator[None]:
    before = set(env._known)
    yield
    env._known.clear()
    env._known.update(before)


def test_a_setting_that_is_not_there_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    assert env.text(NAME, "fallback") == "fallback"
    assert env.integer(NAME, 5, minimum=1, maximum=9) == 5
    assert env.choice(NAME, "red", ("red", "green")) == "red"
    assert env.boolean(NAME, True) is True
    assert env.url(NAME, "redis://cache", ("redis",)) == "redis://cache"


@pytest.mark.parametrize(("given", "bounds"), [("1", (1, 9)), ("9", (1, 9)), ("-3", (-5, 0))])
def test_a_whole_number_may_be_either_bound(
    monkeypatch: pytest.MonkeyPatch, given: str, bounds: tuple[int, int]
) -> None:
    monkeypatch.setenv(NAME, given)
    assert env.integer(NAME, 0, minimum=bounds[0], maximum=bounds[1]) == int(given)


@pytest.mark.parametrize("given", ["0", "10", "1.5", "many", "1e3", "0x10"])
def test_a_number_that_makes_no_sense_is_refused_with_its_bounds(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(NAME, given)
    with pytest.raises(BadSetting) as refusal:
        env.integer(NAME, 5, minimum=1, maximum=9)
    assert refusal.value.name == NAME
    assert str(refusal.value).startswith(f"{NAME} is ")
    assert given in str(refusal.value)
    assert "Give a whole number from 1 to 9 (default 5)." in str(refusal.value)


def test_a_word_that_is_no_choice_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "blue")
    with pytest.raises(BadSetting, match=rf"{NAME} is 'blue'\. Give one of: red, green \(default red\)\."):
        env.choice(NAME, "red", ("red", "green"))


@pytest.mark.parametrize("given", ["true", "1", "YES"])
def test_yes_and_no_are_written_in_one_way(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(NAME, given)
    with pytest.raises(BadSetting, match=rf"{NAME} .*yes, no"):
        env.boolean(NAME, False)


def test_an_address_of_the_wrong_kind_is_refused_without_showing_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "mysql://root:hunter2@db.example/x")
    with pytest.raises(BadSetting) as refusal:
        env.url(NAME, "redis://cache", ("redis", "rediss"))
    assert str(refusal.value) == f"{NAME} is 'db.example/x'. Give an address that begins with one of: redis, rediss."


@pytest.mark.parametrize("given", ["redis://cache:port", "redis://cache:99999", "redis://[cache"])
def test_an_address_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(NAME, given)
    with pytest.raises(BadSetting, match=f"{NAME} is .*Give an address that can be read"):
        env.url(NAME, "redis://cache", ("redis",))


@pytest.mark.parametrize("given", [None, ""])
def test_a_setting_without_a_default_must_be_given(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if given is not None:
        monkeypatch.setenv(NAME, given)
    with pytest.raises(BadSetting, match=f"{NAME} is missing. Ask your operator."):
        env.text(NAME, remedy="Ask your operator.")


def test_a_misspelt_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    env.refuse_unknown()
    monkeypatch.setenv("TOKENWORKS_PROT", "8000")
    with pytest.raises(BadSetting, match=r"TOKENWORKS_PROT is not a setting\. .*\.env\.example"):
        env.refuse_unknown()


def tokenworks(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {"PATH": os.environ["PATH"], "TOKENWORKS_HOME": str(home), **environment}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("TOKENWORKS_PORT", "eighty", "Give a whole number from 1 to 65535"),
        ("TOKENWORKS_PORTS", "8000", "Correct its name or unset it"),
        ("TOKENWORKS_PLANES", "all", "Give one of: both, gateway, office"),
        ("DATABASE_URL", "sqlite:///x", "begins with one of: postgres, postgresql"),
    ],
)
def test_nonsense_keeps_it_from_starting_and_names_the_setting_and_the_remedy(
    home: Path, name: str, given: str, said: str
) -> None:
    done = tokenworks(home, "check", **{name: given})
    assert done.returncode == 1
    assert done.stderr.startswith(f"tokenworks does not start: {name} is ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_home_that_cannot_be_made_is_refused() -> None:
    done = tokenworks(Path("/dev/null/home"), "check")
    assert done.returncode == 1
    assert done.stderr.startswith("tokenworks does not start: TOKENWORKS_HOME needs /dev/null/home: Not a directory")
    assert "Traceback" not in done.stderr


def test_with_a_database_of_your_own_the_secret_key_is_yours_to_give(home: Path) -> None:
    done = tokenworks(home, "check", DATABASE_URL="postgresql://nobody@localhost/nothing")
    assert done.returncode == 1
    assert "TOKENWORKS_SECRET_KEY is missing. Give 50 or more random characters" in done.stderr


def test_help_starts_no_server(home: Path) -> None:
    done = tokenworks(home, "help")
    assert done.returncode == 0
    assert "run" in done.stdout.split()
    assert not (home / "postgres").exists()
