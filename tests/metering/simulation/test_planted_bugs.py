"""That the simulation finds what is wrong: each of these bugs is planted in the product, and some seed must see it."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from metering import recovery, rollup, shipping
from metering.journal import Journal
from metering.models import Batch
from metering.reader import JournalReader, Shipped
from metering.records import Closed
from metering.segment_writer import SegmentWriter
from metering.segments import Segment, segments
from metering.usage import Usage
from tests.metering.simulation.faults import KILLS_AT_CALLS
from tests.metering.simulation.runs import Runs, SeedFailed, runs

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS_MAX = 150
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def simulation() -> Iterator[Runs]:
    with runs() as made:
        yield made


def recovery_that_leaves_torn_tails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_cut_tail", lambda _segment, _end: (0, ()))


def recovery_that_syncs_no_sound_tail(patch: pytest.MonkeyPatch) -> None:
    """As it was until the simulation found it."""
    cut = recovery._cut_tail

    def cut_torn_ones(segment: Segment, end: int) -> tuple[int, tuple[Path, ...]]:
        return cut(segment, end) if segment.path.stat().st_size > end else (0, ())

    patch.setattr(recovery, "_cut_tail", cut_torn_ones)


def recovery_that_interrupts_nothing(patch: pytest.MonkeyPatch) -> None:
    note = recovery._note_opened

    def forget(contents: Any, opened: Any) -> None:
        note(contents, opened)
        contents.still_open.clear()

    patch.setattr(recovery, "_note_opened", forget)


def journal_that_answers_before_it_writes(patch: pytest.MonkeyPatch) -> None:
    write = SegmentWriter.write
    held: dict[int, bytes] = {}

    def write_the_one_before(self: SegmentWriter, frame: bytes) -> None:
        before = held.pop(id(self), b"")
        held[id(self)] = frame
        if before:
            write(self, before)

    patch.setattr(SegmentWriter, "write", write_the_one_before)


def journal_that_hides_a_refused_end(patch: pytest.MonkeyPatch) -> None:
    append = Journal._append

    def append_or_not(self: Journal, payload: bytes) -> None:
        try:
            append(self, payload)
        except Exception:
            if payload[1:3] != b"\xa1c":
                raise

    patch.setattr(Journal, "_append", append_or_not)


def journal_that_bills_what_it_denied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("metering.records.interrupted", lambda opened, at_us: _as_if_completed(opened, at_us))


def _as_if_completed(opened: Any, at_us: int) -> Closed:
    return Closed(
        opened, max(at_us, opened.opened_at_us), None, "completed", "reported", True, Usage(output=1), 200, None
    )


def sync_that_does_not_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentWriter, "_sure", lambda _self, deed, *given: None if "sync" in deed.__name__ else deed(*given))


def shipper_that_deletes_too_early(patch: pytest.MonkeyPatch) -> None:
    def delete(self: JournalReader, _shipped: Shipped) -> list[Path]:
        done = [segment.path for segment in segments(self.folder)[:-1]]
        for path in done:
            path.unlink(missing_ok=True)
        return done

    patch.setattr(JournalReader, "delete_shipped", delete)


def shipper_that_forgets_its_position(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shipping, "_position", lambda _identity: None)


def shipper_that_commits_events_without_their_batch(patch: pytest.MonkeyPatch) -> None:
    copy = shipping._copy

    def copy_and_commit(*given: Any) -> None:
        copy(*given)
        connection.connection.commit()

    patch.setattr(shipping, "_copy", copy_and_commit)


def fold_that_marks_without_adding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rollup, "_FOLD", "SELECT %(now)s::text, %(batches)s::text")


def fold_that_marks_in_another_transaction(patch: pytest.MonkeyPatch) -> None:
    def fold(limit: int) -> int:
        claimed = list(Batch.objects.filter(folded_at=None).order_by("id").values_list("id", flat=True)[:limit])
        if claimed:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(rollup._FOLD, {"now": timezone.now(), "batches": claimed})
            Batch.objects.filter(id__in=claimed).update(folded_at=timezone.now())
        return len(claimed)

    patch.setattr(rollup, "fold_batches", fold)


BUGS: list[tuple[Plant, Collection[str]]] = [
    (recovery_that_leaves_torn_tails, KILLS_AT_CALLS),
    (recovery_that_syncs_no_sound_tail, ["power cut", "gateway killed"]),
    (recovery_that_interrupts_nothing, KILLS_AT_CALLS),
    (journal_that_answers_before_it_writes, KILLS_AT_CALLS),
    (journal_that_hides_a_refused_end, ["disk full", "disk read-only"]),
    (journal_that_bills_what_it_denied, ["disk full", "gateway killed"]),
    (sync_that_does_not_sync, ["power cut"]),
    (shipper_that_deletes_too_early, KILLS_AT_CALLS),
    (shipper_that_forgets_its_position, ["shipper killed"]),
    (shipper_that_commits_events_without_their_batch, KILLS_AT_CALLS),
    (fold_that_marks_without_adding, []),
    (fold_that_marks_in_another_transaction, ["worker killed", *KILLS_AT_CALLS]),
]


@pytest.mark.parametrize(("plant", "favoured"), BUGS, ids=lambda given: getattr(given, "__name__", ""))
def test_a_planted_bug_is_found(
    simulation: Runs, monkeypatch: pytest.MonkeyPatch, plant: Plant, favoured: Collection[str]
) -> None:
    plant(monkeypatch)
    with pytest.raises(SeedFailed, match="Replay it: make soak"):  # noqa: PT012 - one of them, not a certain one.
        for seed in range(SEEDS_MAX):
            simulation.run(seed, favoured)
