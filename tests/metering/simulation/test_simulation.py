"""Hundreds of seeds; `make soak` runs thousands. That it finds what is wrong is shown in test_planted_bugs.py."""

from collections.abc import Iterator

import pytest

from tests.metering.simulation.runs import Runs, runs

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = 240
SEEDS_A_TEST = 30


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


def test_a_seed_replays_step_by_step(simulation: Runs) -> None:
    for seed in range(3):
        first, other, again = simulation.run(seed), simulation.run(seed + 100), simulation.run(seed)
        assert first.trace == again.trace
        assert first.trace != other.trace
