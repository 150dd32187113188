"""That the simulation finds what is wrong with taking usage that was counted elsewhere: one planted bug at a time."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import pytest
from django.db import connection

from metering import backfills, ingest, ingest_rows
from metering.ingest import Receipt
from metering.ingest_errors import BackfillRefused
from metering.ingest_rows import Placed
from metering.models import Backfill, Batch
from tests.metering.simulation.faults import KILLS_AT_CALLS
from tests.metering.simulation.runs import Runs, SeedFailed, runs

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS_MAX = 150
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def simulation() -> Iterator[Runs]:
    with runs() as made:
        yield made


def ingest_that_acknowledges_before_it_commits(patch: pytest.MonkeyPatch) -> None:
    """A call is stored with the next one."""
    store, waiting = ingest._store, list[Any]()

    def store_the_one_before(*given: Any) -> Receipt:
        before = waiting.pop() if waiting else None
        waiting.append(given)
        if before is not None:
            store(*before)
        return Receipt(len(given[1].events) + len(given[1].corrections), given[1].repeated, 0)

    patch.setattr(ingest, "_store", store_the_one_before)


def ingest_that_commits_the_ids_before_the_events(patch: pytest.MonkeyPatch) -> None:
    take = ingest_rows.take_keys

    def take_and_commit(*given: Any) -> Any:
        fresh = take(*given)
        connection.connection.commit()
        return fresh

    patch.setattr(ingest_rows, "take_keys", take_and_commit)


def ingest_that_commits_a_call_by_halves(patch: pytest.MonkeyPatch) -> None:
    write = ingest_rows.write

    def write_by_halves(batch: Batch, events: Iterable[Placed]) -> None:
        written = list(events)
        write(batch, written[:1])
        connection.connection.commit()
        write(batch, written[1:])

    patch.setattr(ingest_rows, "write", write_by_halves)


def backfill_that_is_not_held_open(patch: pytest.MonkeyPatch) -> None:
    def look(backfill: Backfill) -> None:
        if Backfill.objects.get(pk=backfill.pk).state != Backfill.State.OPEN:
            raise BackfillRefused

    patch.setattr(backfills, "hold_open", look)
    patch.setattr(backfills, "count", lambda *_: None)


BUGS: list[tuple[Plant, Collection[str]]] = [
    (ingest_that_acknowledges_before_it_commits, ["office killed"]),
    (ingest_that_commits_the_ids_before_the_events, ["office killed", *KILLS_AT_CALLS]),
    (ingest_that_commits_a_call_by_halves, ["office killed", *KILLS_AT_CALLS]),
    (backfill_that_is_not_held_open, ["office killed"]),
]


@pytest.mark.parametrize(("plant", "favoured"), BUGS, ids=lambda given: getattr(given, "__name__", ""))
def test_a_planted_bug_is_found(
    simulation: Runs, monkeypatch: pytest.MonkeyPatch, plant: Plant, favoured: Collection[str]
) -> None:
    plant(monkeypatch)
    with pytest.raises(SeedFailed, match="Replay it: make soak"):  # noqa: PT012 - one of them, not a certain one.
        for seed in range(SEEDS_MAX):
            simulation.run(seed, favoured)
