"""Makes a call's answers no longer than what is held for them. Pure."""

from msgspec import Raw, structs

from providers.dialects.dialect import Call, Kind

FIELD = "max_tokens"  # What a call without a limit of its own gets; every engine knows it.
COMPLETION_TOKENS = 16  # What OpenAI and vLLM take for a completion that names no limit.


def output_tokens_max(call: Call, offered: int) -> int:
    """How long one answer of the call may be: as the caller says, or as the offering does."""
    if call.kind is Kind.EMBEDDING:
        return 0
    if call.kind is Kind.COMPLETION and not call.output_limits:
        return min(offered, COMPLETION_TOKENS)
    most = offered
    for limit in call.output_limits.values():
        most = min(most, limit)
    return most


def limited(call: Call, tokens: int) -> Call:
    """The call with answers of at most so many tokens; the same call where it says so itself."""
    if call.kind is Kind.EMBEDDING or (call.output_limits and max(call.output_limits.values()) <= tokens):
        return call
    limits = {name: min(asked, tokens) for name, asked in call.output_limits.items()} or {FIELD: tokens}
    changed = {**call.members, **{name: Raw(b"%d" % limit) for name, limit in limits.items()}}
    return structs.replace(call, members=changed, output_limits=limits, body=b"")
