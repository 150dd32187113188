"""What a source knows of the usage that it reported: its calls, their answers, and its backfills."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from random import Random

from metering.ingest_formats.reported import Counts, ReportedUsage, Statement, microseconds, reported

BACK_MAX_S = 30 * 86_400
AHEAD_MAX_S = 240


class Answer(Enum):
    NONE = "sent, and never answered"
    TAKEN = "acknowledged"
    REFUSED = "refused whole"
    CLOSED = "came when its backfill was not open any more"


class Item:
    """An event, an amendment or a void, under its own id. It may be part of several calls."""

    def __init__(self, said: ReportedUsage, corrects: "Item | None" = None) -> None:
        self.said = said
        self.target = corrects
        self.corrections: list[Item] = []
        self.reports: list[Report] = []
        if corrects is not None:
            corrects.corrections.append(self)

    @property
    def is_void(self) -> bool:
        return self.said.voids is not None

    @property
    def backfill(self) -> "Filling | None":
        """That of the event which all its corrections go back to."""
        return self.reports[0].filling if self.target is None else self.target.backfill

    def is_taken(self) -> bool:
        return any(report.answer is Answer.TAKEN for report in self.reports)

    def may_be_taken(self) -> bool:
        """Its backfill was closed before the source had an answer: it is there with all of its call, or not."""
        return not self.is_taken() and any(report.answer is Answer.CLOSED for report in self.reports)


class Report:
    """A call, which is sent until it is answered and perhaps once more. What was taken once stays taken."""

    def __init__(self, items: list[Item], filling: "Filling | None", now: datetime) -> None:
        self.items = items
        self.filling = filling
        self.made_at = now
        self.answer = Answer.NONE
        for item in items:
            item.reports.append(self)

    def tell(self, answer: Answer) -> None:
        if self.answer is not Answer.TAKEN:
            self.answer = answer


class Filling:
    """A backfill. Each of its steps is asked for until it is answered, and may be asked for again."""

    STEPS = ("open", "commit", "revert")

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: set[str] = set()
        self.done: set[str] = set()

    @property
    def state(self) -> str:
        """As its source knows it; at rest, when nothing it asked for is without an answer, as it is."""
        last = [step for step in self.STEPS if step in self.done]
        return last[-1] if last else ""


class Ledger:
    """All that a source has reported, and what it could report next."""

    def __init__(self, source: str, tenant_slug: str, rng: Random, now: Callable[[], datetime]) -> None:
        self.source, self.tenant_slug = source, tenant_slug
        self._rng, self._now = rng, now
        self.items: list[Item] = []
        self.reports: list[Report] = []
        self.fillings: list[Filling] = []

    def new_report(self, at: Callable[[], datetime], filling: Filling | None = None) -> Report:
        """New events, and sometimes what was reported before, the same twice, and a correction of what it holds."""
        rng = self._rng
        items = [self._new_event(at()) for _ in range(rng.randint(1, 3))]
        if filling is None:
            before = [item for item in self.items if self._may_be_sent_now(item)]
            if before and rng.random() < 0.3:
                items.append(rng.choice(before))
            if rng.random() < 0.2:
                items.append(self._correction_of(items[0]))
        if rng.random() < 0.3:
            items.append(items[0])
        rng.shuffle(items)
        return self._reported(items, filling)

    def new_correction(self) -> Report | None:
        """Of anything that was reported; mostly of what was acknowledged and not corrected yet."""
        newest = {item.said.external_id: item for item in self.items}
        fit = [item for item in newest.values() if not item.is_void]
        if self._rng.random() < 0.8:
            fit = [item for item in fit if item.is_taken() and not item.corrections]
        if not fit:
            return None
        return self._reported([self._correction_of(self._rng.choice(fit))], None)

    def sent_anew(self, filling: Filling) -> Report | None:
        """Events of a backfill that was taken back, under their own ids and with what is right."""
        rng = self._rng
        free = [
            item
            for item in self.items
            if item.target is None
            and item.is_taken()
            and not item.corrections
            and item.backfill is not None
            and item.backfill.state == "revert"
        ]
        names = Counter(item.said.external_id for item in self.items)
        free = [item for item in free if names[item.said.external_id] == 1]
        if not free:
            return None
        before = rng.choice(free).said
        again = reported(self.source, before.external_id, self._now(), self._counted(), tenant=self.tenant_slug)
        self.items.append(item := Item(again))
        return self._reported([item], filling)

    def _may_be_sent_now(self, item: Item) -> bool:
        """An event of no backfill, of a time that a call of now may report."""
        at_us = item.said.occurred_at_us
        if at_us is None or not item.reports or item.backfill is not None:
            return False
        return -AHEAD_MAX_S <= microseconds(self._now()) // 1_000_000 - at_us // 1_000_000 <= BACK_MAX_S

    def _reported(self, items: list[Item], filling: Filling | None) -> Report:
        self.reports.append(report := Report(items, filling, self._now()))
        return report

    def _new_event(self, at: datetime) -> Item:
        self.items.append(item := Item(self._said(at, self._counted())))
        return item

    def _correction_of(self, target: Item) -> Item:
        name = target.said.external_id
        is_void = self._rng.random() < 0.4
        statement = Statement(voids=name) if is_void else self._counted(amends=name)
        self.items.append(item := Item(self._said(None, statement), target))
        return item

    def _counted(self, amends: str | None = None) -> Statement:
        rng = self._rng
        usage = Counts(input_uncached=rng.randint(0, 900), output=rng.choice((None, rng.randint(0, 90))))
        return Statement(offering="llama-3.3-70b", usage=usage, amends=amends, streamed=rng.random() < 0.5)

    def _said(self, at: datetime | None, statement: Statement) -> ReportedUsage:
        return reported(self.source, f"event-{len(self.items)}", at, statement, tenant=self.tenant_slug)
