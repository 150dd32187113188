"""The annex of a document: what was used, by day and by model. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

import msgspec

from metering.usage import INPUT_UNITS, OUTPUT_UNITS, Unit


class Used(msgspec.Struct, frozen=True):
    """How much of one unit of a model was used on a day of the tenant's time zone."""

    day: date
    project_id: int
    offering: str
    grade: str
    service_tier: str
    unit: str
    quantity: int


class Counts(msgspec.Struct):
    """Requests and tokens. Images, seconds and characters do not add up with tokens, and stand in their lines only."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, used: Used) -> None:
        if used.unit == Unit.REQUEST:
            self.requests += used.quantity
        elif used.unit in INPUT_UNITS:
            self.input_tokens += used.quantity
        elif used.unit in OUTPUT_UNITS:
            self.output_tokens += used.quantity


def by_model(used: Iterable[Used]) -> dict[str, Counts]:
    counts: dict[str, Counts] = defaultdict(Counts)
    for row in sorted(used, key=lambda row: (row.offering, row.grade)):
        counts[f"{row.offering}:{row.grade}" if row.grade else row.offering].add(row)
    return counts


def by_day(used: Iterable[Used]) -> dict[date, Counts]:
    counts: dict[date, Counts] = defaultdict(Counts)
    for row in used:
        counts[row.day].add(row)
    return counts


def in_total(used: Iterable[Used]) -> Counts:
    total = Counts()
    for row in used:
        total.add(row)
    return total
