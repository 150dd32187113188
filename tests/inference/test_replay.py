"""A replay against real servers: the simulated worker where all goes well, bare sockets where it does not."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from inference.received import Received, ReplayOutcome
from inference.replay import Plan, Streaming, Totals, replay
from inference.simulator.serving import listen, serving
from inference.simulator.speed import Speed
from inference.simulator.worker import SimulatedWorker, WorkerLimits
from inference.trace import TraceRow

ROWS = [TraceRow(number, 1_000_000 + number * 10_000, 10 * number, 2 * number) for number in range(1, 21)]
WORDS = sum(row.input_tokens for row in ROWS), sum(row.output_tokens for row in ROWS)
SLOW = Speed("slow", input_tokens_per_s=1_000_000, output_us_per_token=1000)
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


async def replayed(url: str, rows: list[TraceRow] = ROWS, **fields: Any) -> tuple[Totals, list[dict[str, Any]]]:
    log = io.BytesIO()
    seen: list[Received] = []
    totals = await replay(rows, Plan(url, "sk-test", "llama", **fields), log, seen.append)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) == len(seen) == totals.requests
    return totals, sorted(lines, key=lambda line: line["row"])


@pytest.fixture
async def worker() -> SimulatedWorker:
    return SimulatedWorker("llama")


@pytest.mark.parametrize("streaming", list(Streaming))
async def test_every_row_is_sent_once_with_its_sizes(worker: SimulatedWorker, streaming: Streaming) -> None:
    async with serving(worker) as url:
        totals, lines = await replayed(url, streaming=streaming, concurrency=4)
    assert totals.all_answered
    assert (totals.prompt_tokens, totals.completion_tokens) == WORDS
    assert (worker.metrics.prompt_tokens, worker.metrics.generation_tokens) == WORDS
    assert [(line["row"], line["prompt_tokens"], line["completion_tokens"], line["words"]) for line in lines] == [
        (row.number, row.input_tokens, row.output_tokens, row.output_tokens) for row in ROWS
    ]


async def test_mixed_streams_every_second_row(worker: SimulatedWorker) -> None:
    async with serving(worker) as url:
        _, lines = await replayed(url, streaming=Streaming.MIXED)
    assert [line["streamed"] for line in lines] == [False, True] * 10


async def test_no_more_requests_are_open_than_asked_for() -> None:
    worker = SimulatedWorker("llama", SLOW, WorkerLimits(running_max=3, waiting_max=0))  # Turns a fourth away.
    async with serving(worker) as url:
        totals, _ = await replayed(url, concurrency=3)
    assert totals.all_answered


@pytest.mark.parametrize(("speed_up", "due_s"), [(None, 0), ("1", 3), ("0.5", 6), ("100", 0.03)])
def test_the_pauses_of_the_trace_are_divided_by_the_speed_up(speed_up: str | None, due_s: float) -> None:
    plan = Plan("", "", "", speed_up=Decimal(speed_up) if speed_up else None)
    assert plan.due_s(3_000_000) == pytest.approx(due_s)


async def test_a_paced_replay_sends_every_row(worker: SimulatedWorker) -> None:
    async with serving(worker) as url:
        totals, _ = await replayed(url, speed_up=Decimal(10))
    assert totals.all_answered


async def test_a_refusal_is_written_down_and_not_tried_again(worker: SimulatedWorker) -> None:
    async with serving(worker) as url:
        totals, lines = await replayed(url, rows=[TraceRow(1, 0, 200_000, 1)])
    assert totals.outcomes[ReplayOutcome.REFUSED] == 1
    assert lines[0]["status"] == 400
    assert "maximum context length" in lines[0]["problem"]
    assert not totals.all_answered


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads a request, says the bytes and hangs up; gives its address and what it was asked."""
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", asked


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: 018f\r\n"
TOKEN = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n'


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        STREAM_HEAD + b"connection: close\r\n\r\n" + TOKEN,
        STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n30\r\n" + TOKEN[:20],
        STREAM_HEAD + b"content-length: 1000\r\n\r\n" + TOKEN,
        STREAM_HEAD + b"connection: close\r\n\r\ndata: {garbage\n\n",
    ],
)
async def test_a_request_that_was_cut_is_logged_and_never_sent_again(answer: bytes) -> None:
    async with saying(answer) as (url, asked):
        totals, lines = await replayed(url, rows=ROWS[:1], streaming=Streaming.ALL)
    assert [line["outcome"] for line in lines] == ["cut"]
    assert lines[0]["problem"]
    assert len(asked) == 1
    assert totals.prompt_tokens == 0


async def test_the_request_id_and_the_words_before_a_cut_are_kept() -> None:
    async with saying(STREAM_HEAD + b"connection: close\r\n\r\n" + TOKEN) as (url, _):
        _, lines = await replayed(url, rows=ROWS[:1], streaming=Streaming.ALL)
    assert (lines[0]["request_id"], lines[0]["status"], lines[0]["words"]) == ("018f", 200, 1)
    assert lines[0]["completion_tokens"] is None


async def test_a_server_error_is_a_refusal() -> None:
    async with saying(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy") as (url, _):
        _, lines = await replayed(url, rows=ROWS[:1])
    assert (lines[0]["outcome"], lines[0]["status"], lines[0]["problem"]) == ("refused", 503, "busy")


async def test_what_was_never_sent_is_sent_when_the_gateway_is_back(worker: SimulatedWorker) -> None:
    port = free_port()
    early = asyncio.create_task(replayed(f"http://127.0.0.1:{port}", rows=ROWS[:3]))
    await asyncio.sleep(0)  # The first attempts are refused: nobody listens yet.
    async with serving(worker, port=port):
        totals, _ = await early
    assert totals.all_answered


async def test_a_gateway_that_stays_away_is_given_up() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    totals, lines = await replayed(url, rows=ROWS[:2], unreachable_after_s=0)
    assert totals.outcomes[ReplayOutcome.UNREACHABLE] == 2
    assert {line["status"] for line in lines} == {None}


def free_port() -> int:
    listener = listen("127.0.0.1", 0)
    with listener:
        return int(listener.getsockname()[1])


def a_trace(folder: Path, *rows: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


async def command(*arguments: str) -> None:
    await sync_to_async(call_command, thread_sensitive=False)("replay", *arguments, "--key=sk-test", "--model=llama")


async def test_the_command_prints_totals_and_writes_the_log(
    tmp_path: Path, worker: SimulatedWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = a_trace(tmp_path, "2023-11-16 18:17:03.9799600,4808,10", "2023-11-16 18:17:04,3180,8")
    log = tmp_path / "log.jsonl"
    async with serving(worker) as url:
        await command(str(trace), f"--url={url}", f"--log={log}", "--mixed", "--strict")
    assert len(log.read_text().splitlines()) == 2
    printed = capsys.readouterr().out
    assert "7,988" in printed
    assert "18" in printed


async def test_a_malformed_row_stops_the_command_before_anything_is_sent(
    tmp_path: Path, worker: SimulatedWorker
) -> None:
    trace = a_trace(tmp_path, "2023-11-16 18:17:03,1,1", "2023-11-16 18:17:04,many,8")
    async with serving(worker) as url:
        with pytest.raises(CommandError, match=r"Line 3: .*Nothing was sent"):
            await command(str(trace), f"--url={url}", f"--log={tmp_path / 'log'}")
    assert worker.metrics.prompt_tokens == 0
    assert not (tmp_path / "log").exists()


async def test_strict_fails_when_a_request_was_not_answered(tmp_path: Path, worker: SimulatedWorker) -> None:
    trace = a_trace(tmp_path, "2023-11-16 18:17:03,200000,1")
    async with serving(worker) as url:
        with pytest.raises(CommandError, match="Not every request"):
            await command(str(trace), f"--url={url}", f"--log={tmp_path / 'log'}", "--strict")


async def test_a_replay_that_nobody_answered_fails_and_says_why(
    tmp_path: Path, worker: SimulatedWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = a_trace(tmp_path, "2023-11-16 18:17:03,200000,1", "2023-11-16 18:17:04,200000,1")
    async with serving(worker) as url:
        with pytest.raises(CommandError, match="No request was answered"):
            await command(str(trace), f"--url={url}", f"--log={tmp_path / 'log'}")
    assert "2 x refused, status 400: " in capsys.readouterr().out


async def test_a_log_is_never_overwritten(tmp_path: Path, worker: SimulatedWorker) -> None:
    log = tmp_path / "log"
    log.write_text("evidence")
    async with serving(worker) as url:
        with pytest.raises(CommandError, match="Name a new file"):
            await command(str(a_trace(tmp_path, "2023-11-16 18:17:03,1,1")), f"--url={url}", f"--log={log}")
    assert log.read_text() == "evidence"
    assert worker.metrics.prompt_tokens == 0


@pytest.mark.parametrize(
    "wrong", ["--concurrency=0", "--concurrency=5000", "--speed-up=0", "--speed-up=nan", "--rows=0", "--url=ftp://x"]
)
async def test_nonsensical_arguments_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong.split("=")[0]):
        await command(str(tmp_path / "none.csv"), wrong)


async def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Cannot read"):
        await command(str(tmp_path / "none.csv"))
