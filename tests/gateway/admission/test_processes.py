"""Any order of asking, settling, lost answers, deaths and recoveries of several processes on one real counter."""

import asyncio
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from billing.windows import BASE, Window, counter_key
from gateway.admission.counters import Counters
from gateway.admission.leases import Ask, Hold, Lease
from gateway.admission.recovery import Part
from gateway.admission.terms import Draws, Quota

LIMIT = 3000
QUOTA = Quota("budget:1", Draws.TOKENS, LIMIT, "total", "this account")
TOTAL = Window(0, None)
KEY = counter_key(QUOTA.name, TOTAL)
PROCESSES = 3

which = st.integers(0, PROCESSES - 1)
needs = st.integers(1, 400)


@dataclass
class Process:
    """A gateway process as the counter sees it: a lease, what its requests hold, and its journal, which survives it."""

    counters: Counters
    lease: Lease
    holds: list[tuple[Hold, int]] = field(default_factory=list)
    journal: list[int] = field(default_factory=list)  # What each ending drew; its place is its sequence.
    lives: int = 1

    @property
    def spent(self) -> int:
        return sum(self.journal)


class Processes(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = redis.Redis.from_url(self.url, decode_responses=True)
        self.store.flushdb()
        self.store.hset(KEY, BASE, "0")
        self.processes = [Process(self.counters_of(number, 1), self.lease(0)) for number in range(PROCESSES)]

    def counters_of(self, number: int, life: int) -> Counters:
        return Counters(self.url, f"journal{number}", f"life{number}-{life}")

    def lease(self, spent: int) -> Lease:
        return Lease(KEY, QUOTA, TOTAL, spent, 0)

    @rule(number=which, need=needs, least=needs, lost=st.booleans())
    def ask(self, number: int, need: int, least: int, lost: bool) -> None:
        """As admission does; `lost`: the counter grants, and the answer never comes."""
        process = self.processes[number]
        lease = process.lease
        own = lease.hold_up_to(need)
        ask = Ask(lease, own, max(0, min(least, need) - own), need - own)
        reply = self.runner.run(process.counters.take([ask], len(process.journal)))
        if lost or reply.outcome != "taken":
            lease.release(own)
            return
        lease.granted(reply.grants[0])
        process.holds.append((Hold([(lease, own + lease.hold_up_to(ask.need))]), need))

    @precondition(lambda self: any(process.holds for process in self.processes))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A request ends within its hold: the journal first, then the lease, and no call between them."""
        process = data.draw(st.sampled_from([process for process in self.processes if process.holds]))
        hold, _ = process.holds.pop(data.draw(st.integers(0, len(process.holds) - 1)))
        [(_, held)] = hold.parts
        used = data.draw(st.integers(0, held))
        process.journal.append(used)
        hold.charge([used])
        hold.release()

    @rule(number=which, gives_back=st.booleans())
    def tell(self, number: int, gives_back: bool) -> None:
        process = self.processes[number]
        if gives_back:
            process.lease.give_back()
        self.runner.run(process.counters.take([Ask(process.lease)], len(process.journal)))

    @rule(number=which, unrecorded=st.booleans())
    def die_and_recover(self, number: int, unrecorded: bool) -> None:
        """Killed, perhaps between a closed record and its charge; the next life takes over from the journal."""
        process = self.processes[number]
        if unrecorded and process.holds:
            hold, _ = process.holds[0]
            process.journal.append(hold.parts[0][1])
        process.holds.clear()
        self.runner.run(process.counters.close())
        process.lives += 1
        process.counters = self.counters_of(number, process.lives)
        spent = 0
        for key, text in self.runner.run(process.counters.had_before()).items():
            part = Part.read(text)
            spent = part.spent + sum(process.journal[part.sequence :])
            assert self.runner.run(process.counters.adopt(key, text, spent, 0, len(process.journal)))
        process.lease = self.lease(spent)

    @invariant()
    def no_more_is_given_away_than_the_budget(self) -> None:
        spent = sum(process.spent for process in self.processes)
        held = sum(process.lease.held + max(0, process.lease.free) for process in self.processes)
        assert spent + held <= LIMIT

    @invariant()
    def the_counter_keeps_at_least_what_was_given_away(self) -> None:
        kept = 0
        for number, process in enumerate(self.processes):
            text = self.store.hget(KEY, f"journal{number}")
            if text is None:
                assert (process.spent, process.lease.leased) == (0, 0)
                continue
            part = Part.read(str(text))
            kept += part.spent + part.leased
            assert part.spent + part.leased >= process.spent + process.lease.leased
        assert kept <= LIMIT

    def teardown(self) -> None:
        """When all have given back what is free, and nothing runs, the counter says exactly what was spent."""
        for process in self.processes:
            for hold, _ in process.holds:
                hold.release()
            process.lease.give_back()
            self.runner.run(process.counters.take([Ask(process.lease)], len(process.journal)))
            self.runner.run(process.counters.close())
        parts = [Part.read(str(text)) for name, text in self.store.hgetall(KEY).items() if name != BASE]
        assert sum(part.leased for part in parts) == 0
        assert sum(part.spent for part in parts) == sum(process.spent for process in self.processes)
        self.store.close()
        self.runner.close()


@pytest.mark.parametrize("steps", [40])
def test_no_order_of_deaths_and_lost_answers_gives_away_more_than_the_budget(counters_url: str, steps: int) -> None:
    machine = type("ProcessesOfThisTest", (Processes,), {"url": counters_url})
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=60, stateful_step_count=steps, deadline=None, suppress_health_check=checks),
    )
