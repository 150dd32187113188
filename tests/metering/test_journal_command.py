import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from metering.segments import segments
from tests.metering import samples
from tests.metering.journals import open_journal


@pytest.fixture
def home(tmp_path: Path, settings: object) -> Path:
    settings.TOKENWORKS_HOME = tmp_path  # type: ignore[attr-defined]
    for name in ("gateway-1", "gateway-2"):
        journal = open_journal(tmp_path / "journal" / name, segment_bytes_max=400, fsync_interval_ms=0)
        journal.append_opened(samples.opened())  # Carried through all segments.
        for _ in range(5):
            journal.append_opened(opened := samples.opened())
            journal.append_closed(samples.closed(opened))
        journal.close()
    return tmp_path


def tokenworks(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    call_command("journal", *words)
    return capsys.readouterr().out.splitlines()


def test_journals_are_listed_in_a_hundred_columns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = tokenworks(capsys, "list")
    assert head.split() == ["journal", "id", "files", "bytes", "first", "last", "records", "open", "tail", "writer"]
    assert [row.split()[0] for row in rows] == ["gateway-1", "gateway-2"]
    assert all(len(row) <= 100 for row in rows)
    assert rows[0].split()[4] == "1"
    assert rows[0].split()[-3:] == ["1", "whole", "none"]


def test_journals_are_listed_for_tools(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = open_journal(home / "journal" / "gateway-2")
    first, second = (json.loads(line) for line in tokenworks(capsys, "list", "--json"))
    running.close()
    assert UUID(first["id"]) != UUID(second["id"])
    assert (first["in_use"], second["in_use"]) == (False, True)
    assert first["segments"] == len(segments(home / "journal" / "gateway-1")) > 1
    assert first["bytes"] == sum(each.path.stat().st_size for each in segments(home / "journal" / "gateway-1"))
    assert first["records"] == first["last"] - first["first"] + 1 > 11
    assert (first["open"], first["problems"]) == (1, [])


def test_a_sound_journal_is_said_to_be_whole(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenworks(capsys, "check", "gateway-1")[-1] == "gateway-1: whole; opened 6 = closed 5 + open 1"
    (line,) = tokenworks(capsys, "check", "gateway-1", "--json")
    assert json.loads(line)["read"] == {"opened_before": 0, "opened": 6, "closed": 5, "open": 1}


def test_damage_ends_the_check_with_1_and_says_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harmed = segments(home / "journal" / "gateway-1")[1].path
    harmed.write_bytes(b"\0" * 200)
    with pytest.raises(SystemExit) as ended:
        call_command("journal", "check")
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert f"{harmed}, byte 0:" in told
    assert "Restore the file" in told
    assert "gateway-2: whole" in told


def test_records_are_printed_as_lines_of_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in tokenworks(capsys, "print", "gateway-1")]
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    kinds = {line["kind"] for line in lines}
    assert kinds == {"opened", "closed", "carried"}
    closed = next(line for line in lines if line["kind"] == "closed")
    assert UUID(closed["event_id"]).version == 7
    assert datetime.fromisoformat(closed["opened_at"]).isoformat() == "2023-11-15T12:00:00+00:00"
    assert closed["usage"] == {"input_uncached": 7, "output": 3}
    assert closed["upstream_usage"] == {"prompt_tokens": 7, "completion_tokens": 3}
    carried = next(line for line in lines if line["kind"] == "carried")
    assert UUID(carried["opened"][0]["event_id"]) in {UUID(line["event_id"]) for line in lines if "event_id" in line}


def test_a_part_of_a_journal_or_one_segment_can_be_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tokenworks(capsys, "print", "gateway-1", "--after", "3", "--limit", "2")
    assert [json.loads(line)["sequence"] for line in lines] == [4, 5]
    segment = segments(home / "journal" / "gateway-1")[1]
    lines = tokenworks(capsys, "print", str(segment.path))
    assert json.loads(lines[0])["sequence"] == segment.first


def test_words_of_an_upstream_that_are_no_json_are_printed_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = open_journal(home / "journal" / "gateway-3")
    journal.append_opened(opened := samples.opened())
    journal.append_closed(samples.closed(opened, upstream_usage=b"{not json"))
    journal.close()
    assert json.loads(tokenworks(capsys, "print", "gateway-3")[1])["upstream_usage"] == {
        "unreadable_base64": "e25vdCBqc29u"
    }


def test_printing_a_damaged_segment_prints_what_is_whole_and_fails(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with segments(home / "journal" / "gateway-1")[-1].path.open("ab") as file:
        file.write(b"torn")
    with pytest.raises(CommandError, match="header is incomplete at byte"):
        call_command("journal", "print", "gateway-1")
    assert len(capsys.readouterr().out.splitlines()) > 11


@pytest.mark.parametrize("words", [("print", "nowhere"), ("check", "nowhere"), ("list", "/")])
def test_what_is_no_journal_is_refused(home: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="no journal"):
        call_command("journal", *words)


def test_a_home_without_journals_is_said_to_have_none(
    tmp_path: Path, settings: object, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.TOKENWORKS_HOME = tmp_path  # type: ignore[attr-defined]
    assert tokenworks(capsys, "check") == ["There is no journal."]


def test_the_documented_commands_run_without_a_server(home: Path) -> None:
    page = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    commands = re.findall(r"^    tokenworks (journal [^#\n]*)", page, re.MULTILINE)
    assert {command.split()[1] for command in commands} == {"list", "check", "print"}
    for command in commands:
        words = [sys.executable, "-c", "from config.cli import main; main()", *command.split()]
        environment = {"TOKENWORKS_HOME": str(home), "PATH": ""}
        ran = subprocess.run(
            words, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, ""), command
        assert ran.stdout
    assert not (home / "postgres").exists()
