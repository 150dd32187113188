"""Usage that is counted elsewhere: the sources that report it, and the offices that they call.

An office is a process that takes one call at a time. A source sends what was not answered again, also while the first
try still goes on elsewhere; it opens, fills, commits and reverts backfills, and corrects what it reported.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, connection

from metering import backfills, ingest
from metering.ingest_errors import BackfillRefused, EventsRefused
from metering.ingest_formats.reported import Reading
from metering.reporter import Reporter
from tests.metering.simulation.reports import AHEAD_MAX_S, BACK_MAX_S, Answer, Filling, Ledger, Report
from tests.metering.simulation.stage import Process, Task
from tests.metering.simulation.statements import disturbed

if TYPE_CHECKING:
    from tests.metering.simulation.world import World

Call = tuple[Callable[[], object], str]
"""What an office does, and what it is called in the trace."""

BACKFILL_BACK_MAX_S = 100 * 86_400
FILLINGS_MAX = 3  # Of a source.
HABITS = ((8, 5, 5, 4, 4), (1, 3, 4, 8, 8))  # How often a source does what: mostly calls, or mostly backfills.


class Office:
    """A process that serves the office API."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.lane = world, name
        self.process = self._begun()

    def _begun(self) -> Process:
        return Process(self.lane, self.world.nodes[0].disk, self.world.pass_by)

    @property
    def is_free(self) -> bool:
        return self.world.stage.is_free(self.lane)

    def take(self, call: Callable[[], object], name: str) -> Task:
        if self.process.dead:
            self.process = self._begun()
        return self.world.stage.enter(self.process, self.lane, lambda: self._serve(call), f"{self.lane} {name}")

    def _serve(self, call: Callable[[], object]) -> None:
        """Without an answer where Postgres has trouble, or where the process dies."""
        with disturbed(self.world.postgres):
            try:
                call()
            except (OperationalError, InterfaceError):
                connection.close()


class Source:
    """Who counts usage elsewhere."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.rng = world, world.rng
        self.caller = Reporter(number, f"tenant-{number}", project_id=10, api_key_id=100)
        self.weights = self.rng.choice(HABITS)
        self.ledger = Ledger(f"source-{number}", self.caller.tenant_slug, self.rng, world.now)

    def next_call(self) -> Call | None:
        """What it asks an office next."""
        deeds = (self._report, self._send_again, self._correct, self._next_step, self._fill)
        return self.rng.choices(deeds, self.weights)[0]()

    # What it asks for.

    def _report(self) -> Call | None:
        return self._call(self.ledger.new_report(lambda: self._some_time(BACK_MAX_S)))

    def _send_again(self) -> Call | None:
        unanswered = [report for report in self.ledger.reports if report.answer is Answer.NONE]
        reports = unanswered if unanswered and self.rng.random() < 0.8 else self.ledger.reports
        return self._call(self.rng.choice(reports)) if reports else None

    def _correct(self) -> Call | None:
        report = self.ledger.new_correction()
        return None if report is None else self._call(report)

    def _fill(self) -> Call | None:
        filling = [filling for filling in self.ledger.fillings if filling.state == "open"]
        if not filling:
            return None
        chosen = self.rng.choice(filling)
        report = self.ledger.sent_anew(chosen) if self.rng.random() < 0.4 else None
        return self._call(report or self.ledger.new_report(lambda: self._some_time(BACKFILL_BACK_MAX_S), chosen))

    def _next_step(self) -> Call | None:
        """Of a backfill: one that was asked for before, or the next one. An open one may be reverted at once."""
        fillings = self.ledger.fillings
        if not fillings or (len(fillings) < FILLINGS_MAX and self.rng.random() < 0.3):
            fillings.append(Filling(f"backfill-{len(fillings)}"))
            return self._step(fillings[-1], "open")
        filling = self.rng.choice(fillings)
        steps = ["open"] if filling.state == "" else ["commit", "commit", "revert"]
        return self._step(filling, self.rng.choice(steps))

    def _some_time(self, back_max_s: int) -> datetime:
        return self.world.now() - timedelta(seconds=self.rng.randint(-AHEAD_MAX_S, back_max_s))

    # Calls, as an office serves them.

    def _call(self, report: Report) -> Call:
        name = f"{self.ledger.source} reports {[item.said.external_id for item in report.items]}"
        return lambda: self._ask(report, self.world.now()), name

    def _ask(self, report: Report, now: datetime) -> int:
        """Return how many were accepted. A refusal for the time is none: the clock jumped, and may jump back."""
        said = [item.said for item in report.items]
        name = None if report.filling is None else report.filling.name
        try:
            receipt = ingest.ingest(self.caller, Reading(events=list(enumerate(said))), now=now, backfill_name=name)
        except BackfillRefused:
            report.tell(Answer.CLOSED)
            return 0
        except EventsRefused as refused:
            if any(refusal.field != "time" for refusal in refused.refusals):
                report.tell(Answer.REFUSED)
            return 0
        assert receipt.accepted + receipt.duplicates == len(said), receipt
        report.tell(Answer.TAKEN)
        return receipt.accepted

    def _step(self, filling: Filling, step: str) -> Call:
        filling.asked.add(step)
        return lambda: self._take_step(filling, step), f"{self.ledger.source} {step} {filling.name}"

    def _take_step(self, filling: Filling, step: str) -> None:
        if step == "open":
            self._open(filling)
        else:
            found = backfills.named(self.caller.tenant_id, filling.name)
            try:
                backfills.commit(found) if step == "commit" else backfills.revert(found)
            except BackfillRefused:
                assert "revert" in filling.asked, "an open backfill was not committed"
                return
        filling.done.add(step)

    def _open(self, filling: Filling) -> None:
        try:
            backfills.create(self.caller.tenant_id, filling.name)
        except BackfillRefused:  # An earlier try, whose answer was lost, has made it.
            backfills.named(self.caller.tenant_id, filling.name)

    # Rest.

    def unfinished(self) -> list[Call]:
        """The steps that nobody answered, in their order."""
        return [
            self._step(filling, step)
            for filling in self.ledger.fillings
            for step in filling.STEPS
            if step in filling.asked - filling.done and not (step == "commit" and "revert" in filling.done)
        ]

    def all_again(self) -> list[Call]:
        """Everything that it ever reported, by a clock that is right. What was acknowledged is there already."""

        def ask(report: Report) -> None:
            was_taken = report.answer is Answer.TAKEN
            accepted = self._ask(report, report.made_at)
            assert not (was_taken and accepted), f"{accepted} that were acknowledged were accepted anew"

        return [(lambda report=report: ask(report), "again") for report in self.ledger.reports]  # type: ignore[misc]


class Reporting:
    """The sources of a world, and the offices that they call, if it has any."""

    def __init__(self, world: "World", there: bool) -> None:
        self.world = world
        self.sources = [Source(world, number) for number in (1, 2)] if there else []
        self.offices = [Office(world, f"office-{number}") for number in (1, 2)] if there else []

    def call(self) -> None:
        """A source calls an office, if one is free."""
        free = [office for office in self.offices if office.is_free]
        asked = self.world.rng.choice(self.sources).next_call() if free else None
        if asked is not None:
            self.world.turn(self.world.rng.choice(free).take(*asked))

    def kill_an_office(self) -> None:
        if self.offices:
            self.world.kill(self.world.rng.choice(self.offices).process)

    def rest(self) -> None:
        """No faults any more: all that was not answered is asked for until it is, and then everything once more."""
        for source in self.sources:
            self._finish((lambda: connection.close(), "connects anew"))
            for call in source.unfinished():
                self._finish(call)
            for call in source.all_again():
                self._finish(call)

    def _finish(self, call: Call) -> None:
        task = self.offices[0].take(*call)
        while not task.done:
            self.world.turn(task)

    def reports(self) -> list[Report]:
        return [report for source in self.sources for report in source.ledger.reports]
