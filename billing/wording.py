"""What lines and units are called in print. Pure; English."""

from datetime import date

from babel.dates import format_date

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


def late_usage_of(month: date) -> str:
    return f"late usage of {format_date(month, 'MMMM yyyy', locale='en')}"


def line_description(offering: str, unit: str, correction_of: date | None) -> str:
    """What a line says it is for; a correction names the month that its usage belongs to."""
    late = f" ({late_usage_of(correction_of)})" if correction_of else ""
    return f"{offering}, {UNIT_NAMES[unit]}{late}"


def grant_description(note: str, offering: str) -> str:
    """What a line says by which granted credit lowers an invoice."""
    return f"Granted credit: {note}" + (f" ({offering})" if offering else "")
