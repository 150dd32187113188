"""Hundreds of seeds; `make soak` runs thousands. That it finds what is wrong is shown in test_planted_bugs.py."""

from collections.abc import Iterator

import pytest

from tests.metering.simulation.faults import KILLS_AT_CALLS
from tests.metering.simulation.runs import Runs, runs

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = 240
SEEDS_A_TEST = 30
KILLED_SEED = 4


@pytest.fixture
def simulation() -> Iterator[Runs]:
    with runs() as made:
        yield made


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_what_clients_received_is_what_is_counted_whatever_fails(simulation: Runs, first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        simulation.run(seed)
    assert simulation.requests.total() > SEEDS_A_TEST
    assert simulation.injected.total() > SEEDS_A_TEST


def test_a_kill_at_any_call_or_statement_loses_and_doubles_nothing(simulation: Runs) -> None:
    """At each tenth here; `make soak ARGS=--kill-at-each` takes them all."""
    assert simulation.kill_at_each_place(KILLED_SEED, every=10) > 100
    assert simulation.injected.keys() <= {*KILLS_AT_CALLS}


def test_a_seed_replays_step_by_step(simulation: Runs) -> None:
    for seed in range(3):
        first, other, again = simulation.run(seed), simulation.run(seed + 100), simulation.run(seed)
        assert first.trace == again.trace
        assert first.trace != other.trace
