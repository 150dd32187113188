"""Many clients of several gateway processes draw on one hard budget, and never get more than it affords."""

from pathlib import Path

import pytest

from tests.stories.copy_of_tokenworks import running_copy
from tests.stories.draining import AFFORDED, GATEWAYS, drained
from tests.stories.gateways import gateway_processes

pytestmark = pytest.mark.story


def test_a_hard_budget_is_never_overspent_though_gateways_are_killed(home: Path) -> None:
    with running_copy(home, speed="b200") as copy, gateway_processes(copy, GATEWAYS) as gateways:
        for streamed in (False, True):
            run = drained(copy, gateways, streamed=streamed)
            run.assert_within_budget()
            assert run.kills, run
            assert run.interrupted, f"the kills hit nobody: {run}"


def test_a_hard_budget_is_never_overspent_though_valkey_loses_all_that_it_knows(home: Path) -> None:
    with running_copy(home, speed="b200") as copy, gateway_processes(copy, GATEWAYS) as gateways:
        for streamed in (False, True):
            run = drained(copy, gateways, streamed=streamed, counters_lost=True)
            run.assert_within_budget()
            assert len(run.billed_ids) > AFFORDED * 0.9, f"the counter never became right: {run}"
            assert run.received.else_["503"], f"nobody noticed: {run}"
