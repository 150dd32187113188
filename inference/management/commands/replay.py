from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inference import replay, trace
from inference.management import arguments
from inference.received import ReplayOutcome

PROBLEMS_SHOWN_MAX = 5
MODES = (
    ("stream", "all", "ask for streamed answers"),
    ("no-stream", "none", "ask for whole answers (default)"),
    ("mixed", "mixed", "ask for a streamed answer in every second row"),
)


class Command(BaseCommand):
    help = "Send a trace through a running gateway, one request a row, and write down what the client received."
    requires_system_checks: list[str] = []  # It is a client of the gateway and needs nothing of ours.

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help=f"a CSV file with the columns {','.join(trace.COLUMNS)}")
        ours = f"http://{settings.TOKENWORKS_HOST}:{settings.TOKENWORKS_PORT}"
        parser.add_argument(
            "--url", type=arguments.web_address, default=ours, help="the gateway's address (default %(default)s)"
        )
        parser.add_argument("--key", required=True, help="an API key of the tenant that pays")
        parser.add_argument("--model", required=True, help="the offering to ask for")
        pace = parser.add_mutually_exclusive_group()
        pace.add_argument("--speed-up", type=arguments.factor, help="divide the trace's own pauses by this")
        pace.add_argument("--flat-out", action="store_true", help="send without pauses (default)")
        mode = parser.add_mutually_exclusive_group()
        for name, streaming, meaning in MODES:
            mode.add_argument(f"--{name}", dest="streaming", action="store_const", const=streaming, help=meaning)
        parser.set_defaults(streaming="none")
        parser.add_argument(
            "--concurrency", type=arguments.concurrency, default=32, help="requests open at once (default 32)"
        )
        parser.add_argument("--rows", type=arguments.positive, help="send the first rows only")
        parser.add_argument("--log", type=Path, help="where to write what was received, one line a request")
        parser.add_argument("--strict", action="store_true", help="fail unless every request was answered in full")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = self._rows(options["file"])[: options["rows"]]
        speed_up: Decimal | None = options["speed_up"]
        streaming = replay.Streaming(options["streaming"])
        plan = replay.Plan(
            options["url"], options["key"], options["model"], streaming, speed_up, options["concurrency"]
        )
        path: Path = options["log"] or _new_log()
        totals = self._run(rows, plan, path)
        _print(totals, rows, path)
        if options["strict"] and not totals.all_answered:
            raise CommandError(f"Not every request was answered in full. {path} says what became of each.")
        if not totals.outcomes[ReplayOutcome.ANSWERED]:
            raise CommandError(f"No request was answered. {path} says what became of each.")

    def _rows(self, path: Path) -> list[trace.TraceRow]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                return trace.parse(lines)
        except (OSError, UnicodeDecodeError) as problem:
            raise CommandError(f"Cannot read {path}: {problem}. Nothing was sent.") from None
        except trace.MalformedRow as problem:
            raise CommandError(f"{path}: {problem} Nothing was sent.") from None

    def _run(self, rows: list[trace.TraceRow], plan: replay.Plan, path: Path) -> replay.Totals:
        columns = (
            TextColumn("Replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        try:
            log = path.open("xb")
        except OSError as problem:
            raise CommandError(f"Cannot write {path}: {problem}. Name a new file with --log.") from None
        with log, Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("", total=len(rows))
            return uvloop.run(replay.replay(rows, plan, log, lambda received: progress.advance(bar)))


def _new_log() -> Path:
    folder = settings.TOKENWORKS_HOME / "replays"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path: Path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl"
    return path


def _print(totals: replay.Totals, rows: list[trace.TraceRow], path: Path) -> None:
    table = Table("", "trace", "client", title="What was replayed")
    input_tokens, output_tokens = replay.expected(rows)
    table.add_row("requests", f"{len(rows):,}", f"{totals.requests:,}")
    table.add_row("input tokens", f"{input_tokens:,}", f"{totals.prompt_tokens:,}")
    table.add_row("output tokens", f"{output_tokens:,}", f"{totals.completion_tokens:,}")
    for outcome, count in totals.outcomes.items():
        table.add_row(outcome.value, "", f"{count:,}")
    table.add_row("answered without a usage that fits the text", "", f"{totals.uncounted:,}")
    console = Console()
    console.print(table)
    for problem, count in totals.problems.most_common(PROBLEMS_SHOWN_MAX):
        console.print(f"{count:,} x {problem}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"What each client received: {path}", soft_wrap=True)
