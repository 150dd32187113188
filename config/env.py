"""Reads settings from the environment, and refuses what makes no sense.

Each reader names its variable, its default and its bounds, so that a mistake is found before anything starts
and the message says how to mend it. `refuse_unknown` catches the misspelt name that would else be ignored.
"""

import os
from urllib.parse import urlsplit

OURS = "TOKENWORKS_"

_known: set[str] = set()


class BadSetting(Exception):
    """A setting is missing or makes no sense."""

    def __init__(self, name: str, problem: str, remedy: str) -> None:
        self.name = name
        super().__init__(f"{name} {problem}. {remedy}")


def text(name: str, default: str | None = None, *, remedy: str = "Set it in the environment.") -> str:
    """The variable as it stands; without a default it must be there and must not be empty."""
    _known.add(name)
    value = os.environ.get(name) or default
    if value is None:
        raise BadSetting(name, "is missing", remedy)
    return value


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """A whole number within bounds, both included."""
    given = text(name, str(default))
    remedy = f"Give a whole number from {minimum} to {maximum} (default {default})."
    try:
        value = int(given)
    except ValueError:
        raise BadSetting(name, f"is {given!r}, which is not a whole number", remedy) from None
    if not minimum <= value <= maximum:
        raise BadSetting(name, f"is {value}, out of bounds", remedy)
    return value


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of the words in `choices`."""
    given = text(name, default)
    if given not in choices:
        raise BadSetting(name, f"is {given!r}", f"Give one of: {', '.join(choices)} (default {default}).")
    return given


def boolean(name: str, default: bool) -> bool:
    return choice(name, "yes" if default else "no", ("yes", "no")) == "yes"


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """An address with one of `schemes`; empty means that the default holds."""
    given = text(name, default)
    if not given:
        return given  # As is its default.
    shown = given.split("@")[-1]  # What stands before the @ may be a password.
    try:
        scheme, _port = urlsplit(given).scheme, urlsplit(given).port
    except ValueError as problem:
        raise BadSetting(name, f"is {shown!r}", f"Give an address that can be read: {problem}.") from None
    if scheme not in schemes:
        raise BadSetting(name, f"is {shown!r}", f"Give an address that begins with one of: {', '.join(schemes)}.")
    return given


def refuse_unknown() -> None:
    """Refuse a TOKENWORKS_ variable that no setting reads: a misspelt limit would be no limit."""
    for name in sorted(os.environ):
        if name.startswith(OURS) and name not in _known:
            raise BadSetting(name, "is not a setting", "Correct its name or unset it; .env.example lists all settings.")


def known() -> frozenset[str]:
    """The names of all settings that were read."""
    return frozenset(_known)
