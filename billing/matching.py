"""Which rate meets which usage. Pure.

Rates of one version partition usage: each usage meets exactly one of them or none. So no rate comes before another,
and two rates that could meet the same usage are refused when they are saved (and by Postgres: migration 0011).
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple, TypeVar

from metering.usage import ServiceTier

T = TypeVar("T")

ANY = "any"  # Of a rate's grade or service tier: it meets usage of every one.


class Match(NamedTuple):
    """What a rate is for. An empty grade is that of answers without one."""

    offering: str
    unit: str
    grade: str = ANY
    service_tier: str = ServiceTier.STANDARD

    def overlaps(self, other: "Match") -> bool:
        """Whether some usage would meet both."""
        return (
            self.offering == other.offering
            and self.unit == other.unit
            and (self.grade == other.grade or ANY in (self.grade, other.grade))
            and (self.service_tier == other.service_tier or ANY in (self.service_tier, other.service_tier))
        )

    def __str__(self) -> str:
        return f"{self.unit} of {self.offering} ({self.qualities})"

    @property
    def qualities(self) -> str:
        """The grade and the service tier, for people."""
        grade = {ANY: "any grade", "": "no grade"}.get(self.grade, self.grade)
        return f"{grade}, {'any service tier' if self.service_tier == ANY else self.service_tier}"


def met(
    rates: Mapping[Match, T], offering: str, unit: str, grade: str = "", service_tier: str = ServiceTier.STANDARD
) -> tuple[Match, T] | None:
    """The one rate that usage meets; None where it meets none. Rates do not overlap, so none of them comes first."""
    for match in (
        Match(offering, unit, ANY, service_tier),
        Match(offering, unit, grade, service_tier),
        Match(offering, unit, ANY, ANY),
        Match(offering, unit, grade, ANY),
    ):
        found = rates.get(match)
        if found is not None:
            return match, found
    return None


def overlapping(matches: Iterable[Match]) -> list[tuple[Match, Match]]:
    """Each pair that some usage would meet both of, in the order given."""
    of_units: dict[tuple[str, str], list[Match]] = {}
    for match in matches:
        of_units.setdefault((match.offering, match.unit), []).append(match)
    return [pair for group in of_units.values() for pair in combinations(group, 2) if pair[0].overlaps(pair[1])]


class Gap(NamedTuple):
    """Units that are not priced in a grade and service tier in which others of the offering are."""

    offering: str
    grade: str
    service_tier: str
    units: tuple[str, ...]

    def __str__(self) -> str:
        qualities = Match(self.offering, "", self.grade, self.service_tier).qualities
        return f"{self.offering} lacks {', '.join(self.units)} ({qualities})"


def gaps(matches: Iterable[Match], units: Sequence[str]) -> list[Gap]:
    """Where rates price only a part of `units`. An offering of which none of them is priced lacks them all.

    A grade that no rate names is met by rates for any grade alone; so one place, called any, stands for all of these.
    """
    of_offerings: dict[str, list[Match]] = {}
    for match in matches:
        of_offerings.setdefault(match.offering, []).append(match)
    found: list[Gap] = []
    for offering, rates in sorted(of_offerings.items()):
        counted = [rate for rate in rates if rate.unit in units]
        if not counted:
            found.append(Gap(offering, ANY, ServiceTier.STANDARD, tuple(units)))
        for grade, tier in product(sorted({rate.grade for rate in counted}), ServiceTier):
            priced = {rate.unit for rate in counted if rate.grade in (grade, ANY) and rate.service_tier in (tier, ANY)}
            if priced and not priced.issuperset(units):
                found.append(Gap(offering, grade, tier, tuple(unit for unit in units if unit not in priced)))
    return found


def qualified(offering: str, grade: str, service_tier: str) -> str:
    """An offering, with its grade and service tier where these are not the usual ones."""
    besides = [grade] if grade else []
    if service_tier != ServiceTier.STANDARD:
        besides.append(service_tier)
    return f"{offering} ({', '.join(besides)})" if besides else offering
