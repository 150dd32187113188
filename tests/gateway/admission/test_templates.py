"""What an engine's chat template adds to a request is held for it before it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.admission.pricing import TEMPLATE_TOKENS, input_tokens_max
from providers.dialects import openai_chat
from tests.gateway.admission.limiting import budget, limited, taken
from tests.gateway.running import chat, post
from tests.gateway.upstreams import Upstream, completion, says, whole

CONTEXT, ANSWER = 131_072, 50
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def bound(**members: Any) -> int:
    return input_tokens_max(openai_chat.read_call(json.dumps(chat(**members)).encode()), CONTEXT)


@pytest.mark.parametrize("beyond", [0, 40])
async def test_a_template_overspends_by_no_more_than_what_passes_its_allowance(
    home: Path, counters_url: str, store: "redis.Redis", upstream: Upstream, beyond: int
) -> None:
    body = json.dumps(chat(max_tokens=ANSWER)).encode()
    read = len(body) + TEMPLATE_TOKENS + beyond
    usage = {"prompt_tokens": read, "completion_tokens": ANSWER, "total_tokens": read + ANSWER}
    upstream.answer = says(whole(completion(usage)))
    affords = len(body) + TEMPLATE_TOKENS + ANSWER
    async with limited(home, counters_url, upstream, budget(affords)) as gateway:
        assert (await post(gateway, body)).status == 200
        assert (await post(gateway, body)).status == 402
    assert taken(store) == (affords + beyond, 0)


def test_what_is_around_a_message_is_held_by_its_own_bytes() -> None:
    """Templates write at most 9 tokens around a message, whose emptiest form in JSON is longer than that."""
    messages = [{"role": "user"}] * 100
    assert bound(messages=messages) >= TEMPLATE_TOKENS + 100 * 9


def test_tools_are_held_three_times_for_a_template_may_spread_them_out() -> None:
    pretty = json.dumps(TOOL, indent=4)
    assert len(pretty) > len(json.dumps(TOOL))
    assert bound(tools=[TOOL]) >= bound() + 3 * len(json.dumps([TOOL]))


def test_never_more_is_held_than_the_model_can_read() -> None:
    assert bound(messages=[{"role": "user", "content": "a" * CONTEXT}]) == CONTEXT
    assert bound(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]) == CONTEXT
