"""Usage as OpenAI reports it, turned into counts that do not overlap. Pure.

`prompt_tokens` holds the cached tokens and `completion_tokens` the reasoning tokens, so each is subtracted once:

    input_uncached = prompt_tokens - prompt_tokens_details.cached_tokens
    output         = completion_tokens - completion_tokens_details.reasoning_tokens

Where one request gets several answers, vLLM and SGLang put into a streamed event the usage of its choice alone: the
prompt that it answers and what was written of it. Until the last usage, which is of the whole, the newest of each
choice are therefore added up, and each prompt counts once.

Source: OpenAI API reference, "The completion object", `usage`.
"""

from typing import Annotated

import msgspec

from metering.records import UPSTREAM_USAGE_BYTES_MAX
from metering.usage import COUNT_MAX, Usage, UsageSource
from providers.dialects.dialect import NOTHING_COUNTED, Counted
from providers.dialects.members import UNREADABLE

# 2^53: what every JSON reader keeps exactly.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class PromptDetails(msgspec.Struct):
    cached_tokens: Tokens | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: Tokens | None = None


class Report(msgspec.Struct, omit_defaults=True):
    """One usage object. What is missing or null was not reported; zero was."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


_read = msgspec.json.Decoder(Report).decode


class UsageCount:
    """The newest count of one request. Of each field the last reported value holds; nothing is added to itself.

    The request has `prompts` prompts and gets `answers` answers to each.
    """

    __slots__ = (
        "_answers",
        "_cached",
        "_choices",
        "_completion",
        "_completions",
        "_flaw",
        "_newest",
        "_prompt",
        "_prompts",
        "_reasoning",
        "_total",
    )

    def __init__(self, prompts: int = 1, answers: int = 1) -> None:
        self._answers = answers
        self._choices = prompts * answers
        self._prompts: dict[int, int] = {}  # The newest of each, only where there are several.
        self._completions: dict[int, int] = {}
        self._newest: bytes | None = None
        self._flaw: str | None = None
        self._prompt: int | None = None
        self._completion: int | None = None
        self._total: int | None = None
        self._cached: int | None = None
        self._reasoning: int | None = None

    def take(self, words: bytes) -> None:
        """Take a usage object in; one that cannot be read is kept as it is and makes the count unknown."""
        report = self._understood(words)
        if report is None:
            return
        if report.prompt_tokens is not None:
            self._prompt = report.prompt_tokens
        if report.completion_tokens is not None:
            self._completion = report.completion_tokens
        if report.total_tokens is not None:
            self._total = report.total_tokens
        if report.prompt_tokens_details is not None and report.prompt_tokens_details.cached_tokens is not None:
            self._cached = report.prompt_tokens_details.cached_tokens
        details = report.completion_tokens_details
        if details is not None and details.reasoning_tokens is not None:
            self._reasoning = details.reasoning_tokens

    def take_of(self, choice: int, words: bytes) -> None:
        """Take in the usage object of one choice of several. Choices are numbered from 0, prompt by prompt."""
        report = self._understood(words)
        if report is None:
            return
        if not 0 <= choice < self._choices:
            self._flaw = f"the choice {choice} is none of the {self._choices} that were asked for"
            return
        if report.prompt_tokens is not None:
            self._prompts[choice // self._answers] = report.prompt_tokens
        if report.completion_tokens is not None:
            self._completions[choice] = report.completion_tokens
        self._prompt = sum(self._prompts.values())
        self._completion = sum(self._completions.values())
        self._total = self._prompt + self._completion

    def report(self) -> bytes:
        """The count as a usage object."""
        return msgspec.json.encode(Report(self._prompt, self._completion, self._total))

    def _understood(self, words: bytes) -> Report | None:
        self._newest = words
        try:
            report = _read(words)
        except UNREADABLE as problem:
            self._flaw = f"the usage cannot be read: {problem}"
            return None
        self._flaw = None
        return report

    def counted(self, source: UsageSource) -> Counted:
        """The count as disjoint units. `source` says what kind of report the newest one was."""
        if self._newest is None:
            return NOTHING_COUNTED
        words = self._newest if len(self._newest) <= UPSTREAM_USAGE_BYTES_MAX else None
        flaw = self._flaw or self._impossible()
        if flaw is not None:
            return Counted(Usage(), UsageSource.NONE, words, flaw)
        usage = Usage(
            input_uncached=_rest(self._prompt, self._cached),
            input_cached=self._cached,
            output=_rest(self._completion, self._reasoning),
            reasoning=self._reasoning,
        )
        return Counted(usage, source if usage.known else UsageSource.NONE, words, self._doubtful(words))

    def _impossible(self) -> str | None:
        if self._prompt is not None and self._cached is not None and self._cached > self._prompt:
            return f"{self._cached} cached tokens are more than the {self._prompt} prompt tokens that hold them"
        if self._completion is not None and self._reasoning is not None and self._reasoning > self._completion:
            return f"{self._reasoning} reasoning tokens are more than the {self._completion} completion tokens"
        if max(self._prompt or 0, self._completion or 0) > COUNT_MAX:
            return f"{self._prompt} prompt and {self._completion} completion tokens are more than any request uses"
        return None

    def _doubtful(self, words: bytes | None) -> str | None:
        """What to look into, although the counts themselves can be true."""
        if words is None:
            return f"the usage object is over {UPSTREAM_USAGE_BYTES_MAX} bytes and is not kept"
        if None in (self._prompt, self._completion, self._total):
            return None
        if self._prompt + self._completion != self._total:  # type: ignore[operator]  # none of them is None here
            return f"{self._prompt} prompt and {self._completion} completion tokens are not {self._total} in total"
        return None


def _rest(whole: int | None, part: int | None) -> int | None:
    return whole if whole is None or part is None else whole - part
