"""A streamed answer of OpenAI's chat completions or completions, followed event by event. Pure."""

import msgspec
from msgspec import Raw

from metering.usage import UsageSource
from providers.dialects import members
from providers.dialects.dialect import Counted, GarbledAnswer
from providers.dialects.members import UNREADABLE
from providers.dialects.openai_usage import UsageCount

DONE = b"[DONE]"


ABSENT = Raw()


class Event(msgspec.Struct, gc=False):  # None can be part of a cycle, and the collector need not look at one of each.
    choices: list[Raw] | None = None
    usage: Raw = ABSENT
    error: Raw = ABSENT


class Choice(msgspec.Struct):
    index: int = 0


_read_event = msgspec.json.Decoder(Event).decode
_read_choice = msgspec.json.Decoder(Choice).decode


class OpenAIStream:
    """Counts one streamed answer, and takes out the usage that the caller did not ask for."""

    __slots__ = (
        "_count",
        "_is_one_of_several",
        "_running_usage_wanted",
        "_usage_sent",
        "_usage_wanted",
        "_with_usage",
        "done",
        "failed",
    )

    def __init__(
        self, usage_wanted: bool = False, running_usage_wanted: bool = False, prompts: int = 1, answers: int = 1
    ) -> None:
        self.done = False
        self.failed = False
        self._usage_wanted = usage_wanted
        self._running_usage_wanted = running_usage_wanted
        self._usage_sent = False  # An event with the usage and no choices went to the caller.
        self._with_usage: bytes | None = None  # The newest data that held a usage.
        self._is_one_of_several = prompts * answers > 1  # Then a choice's usage is its own, not that of all.
        self._count = UsageCount(prompts, answers)

    def take(self, data: bytes) -> bytes | None:
        if data == DONE:
            self.done = True
            return data
        try:
            event = _read_event(data)
        except UNREADABLE as problem:
            raise GarbledAnswer(f"An event is not a chunk of a completion: {problem}.") from None
        if event.error is not ABSENT and bytes(event.error) != b"null":
            self.failed = True
            return data
        if event.usage is ABSENT:
            return data
        usage = bytes(event.usage)
        if usage == b"null":
            return data if self._usage_wanted else members.cut(data, "usage", usage)
        self._with_usage = data
        if event.choices and self._is_one_of_several:
            self._count.take_of(_index(event.choices[0]), usage)
        else:
            self._count.take(usage)
        if not event.choices:
            self._usage_sent = self._usage_wanted
            return data if self._usage_wanted else None
        return data if self._running_usage_wanted else members.cut(data, "usage", usage)

    def owed(self) -> bytes | None:
        """The event with the usage, where the upstream put it beside choices only."""
        if not self._usage_wanted or self._usage_sent or self._with_usage is None:
            return None
        usage = self._count.report() if self._is_one_of_several else members.read(self._with_usage)["usage"]
        return members.join({**members.read(self._with_usage), "choices": b"[]", "usage": usage})

    def counted(self) -> Counted:
        return self._count.counted(UsageSource.REPORTED if self.done else UsageSource.RUNNING_COUNT)


def _index(choice: Raw) -> int:
    try:
        return _read_choice(choice).index
    except UNREADABLE as problem:
        raise GarbledAnswer(f"A choice has no index: {problem}.") from None
