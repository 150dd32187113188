"""The demo's applications: the official OpenAI SDK calling the gateway, plain and streamed."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openai import OpenAI

APPLICATIONS = 8
TIMEOUT_S = 60
WORDS = ("electricity", "and", "silicon", "become", "useful", "text", "that", "somebody", "pays", "for")


@dataclass(frozen=True)
class Call:
    """One request of one application; its prompt has exactly `prompt_words` words and its answer `answer_words`."""

    tenant: str
    secret: str
    model: str
    streamed: bool
    prompt_words: int
    answer_words: int


def calls(tenant: str, secret: str, models: Sequence[str], count: int) -> list[Call]:
    """A varied day's work in small: the sizes repeat with periods that share no factor."""
    return [
        Call(tenant, secret, models[i % len(models)], i // 2 % 2 == 1, 2_000 + 1_370 * (i % 13), 80 + 110 * (i % 7))
        for i in range(count)
    ]


def prompt(words: int) -> str:
    return " ".join(WORDS[i % len(WORDS)] for i in range(words))


def send(base_url: str, todo: Sequence[Call], done: Callable[[], None]) -> Counter[tuple[str, str]]:
    """Make all calls, several at once, and return what the SDK saw: tokens and requests by (tenant, kind)."""
    seen: Counter[tuple[str, str]] = Counter()
    clients = {call.secret: OpenAI(base_url=base_url, api_key=call.secret, timeout=TIMEOUT_S) for call in todo}
    with ThreadPoolExecutor(APPLICATIONS) as pool:
        for call, (input_tokens, output_tokens) in zip(
            todo, pool.map(lambda call: _send(clients[call.secret], call), todo), strict=True
        ):
            seen.update({(call.tenant, "input"): input_tokens, (call.tenant, "output"): output_tokens})
            seen[call.tenant, "requests"] += 1
            done()
    for client in clients.values():
        client.close()
    return seen


def _send(client: OpenAI, call: Call) -> tuple[int, int]:
    """The (input, output) tokens that the answer reports; an answer without usage is a failure of the demo."""
    usage = None
    if call.streamed:
        stream = client.chat.completions.create(
            model=call.model,
            messages=[{"role": "user", "content": prompt(call.prompt_words)}],
            max_tokens=call.answer_words,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"min_tokens": call.answer_words},
        )
        for event in stream:
            usage = event.usage or usage
    else:
        usage = client.chat.completions.create(
            model=call.model,
            messages=[{"role": "user", "content": prompt(call.prompt_words)}],
            max_tokens=call.answer_words,
            extra_body={"min_tokens": call.answer_words},
        ).usage
    if usage is None:
        raise NoUsage(call)
    return usage.prompt_tokens, usage.completion_tokens


class NoUsage(Exception):
    """An answer came without usage, so nobody could check what was counted."""

    def __init__(self, call: Call) -> None:
        super().__init__(f"{self.__doc__} It was {call}.")
