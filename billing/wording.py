"""What lines and units are called in print. Pure; English."""

from datetime import date

from babel.dates import format_date

from billing.charges import Charge, LineKind
from billing.matching import qualified
from billing.statement import TRIAL
from metering.usage import Unit

UNIT_NAMES: dict[str, str] = {
    Unit.REQUEST: "requests",
    Unit.INPUT_UNCACHED: "input tokens",
    Unit.INPUT_CACHED: "cached input tokens",
    Unit.CACHE_WRITE_5M: "tokens cached for 5 minutes",
    Unit.CACHE_WRITE_1H: "tokens cached for 1 hour",
    Unit.OUTPUT: "output tokens",
    Unit.REASONING: "reasoning tokens",
    Unit.AUDIO_INPUT: "audio input tokens",
    Unit.AUDIO_OUTPUT: "audio output tokens",
    Unit.IMAGE: "images",
    Unit.SECOND: "seconds of audio",
    Unit.CHARACTER: "characters",
}


NAMES: dict[str, str] = {
    LineKind.FEE: "Subscription fee",
    LineKind.INCLUDED: "Included usage",
    LineKind.COUPON: "Coupon",
    LineKind.MINIMUM: "Minimum charge",
    LineKind.COMMITMENT: "Commitment not used up",
    LineKind.MAXIMUM: "Limited to the maximum charge",
    LineKind.GRANT: "Granted credit",
    LineKind.CREDIT: "Credit",
}


def correction_of(month: date) -> str:
    return f"correction of {format_date(month, 'MMMM yyyy', locale='en')}"


def late_usage_of(month: date) -> str:
    return f"late usage of {format_date(month, 'MMMM yyyy', locale='en')}"


def line_description(charge: Charge, *, is_correction: bool) -> str:
    """What a line says it is for; a correction names the month that it belongs to."""
    late = late_usage_of(charge.month) if charge.kind == LineKind.USAGE else correction_of(charge.month)
    return _subject(charge) + (f" ({late})" if is_correction else "")


def _subject(charge: Charge) -> str:
    if charge.unit:
        sold = qualified(charge.offering, charge.grade, charge.service_tier)
        included = ", included" if charge.kind == LineKind.INCLUDED else ""
        return f"{sold}, {UNIT_NAMES[charge.unit]}{included}"
    if charge.kind == LineKind.DISCOUNT:
        return "Trial" if charge.detail == TRIAL else f"Discount of {charge.detail} %"
    return f"{NAMES[charge.kind]}: {charge.detail}" if charge.detail else NAMES[charge.kind]


def grant_description(note: str, offering: str) -> str:
    """What a line says by which granted credit lowers an invoice."""
    return f"Granted credit: {note}" + (f" ({offering})" if offering else "")
