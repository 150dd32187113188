"""How fast a simulated worker reads prompts and writes answers.

The profiles follow published batch throughput, one device each, of Llama-3.3-70B in FP8 (H100, H200) and FP4 (B200)
by TensorRT-LLM's performance overview, 2025-09. They are for planning and say nothing about any one installation:

- An answer's speed is the output throughput at 1000 tokens in and 1000 out, shared by STREAMS_ASSUMED requests.
- A prompt's speed is 1/a, where `device time = a * input + b * output` goes through the points 1000/1000 and 8192/1024.
"""

from dataclasses import dataclass

STREAMS_ASSUMED = 64


class UnknownSpeed(Exception):
    """There is no such speed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no speed {name!r}. Give one of: {', '.join(SPEEDS)}.")


@dataclass(frozen=True)
class Speed:
    """Both rates are of one request and do not depend on how many others run. None: as fast as it can."""

    name: str
    input_tokens_per_s: int | None
    output_us_per_token: int | None

    @property
    def is_paced(self) -> bool:
        return self.output_us_per_token is not None

    def token_due_s(self, prompt_tokens: int, number: int) -> float:
        """When the token of this number, from 1, is ready, in seconds after the start."""
        if self.input_tokens_per_s is None or self.output_us_per_token is None:
            return 0.0
        return prompt_tokens / self.input_tokens_per_s + number * self.output_us_per_token / 1e6


def _profile(name: str, output_tokens_per_s: int, input_ns_per_token: int) -> Speed:
    return Speed(name, 10**9 // input_ns_per_token, STREAMS_ASSUMED * 10**6 // output_tokens_per_s)


MAX = Speed("max", None, None)
SPEEDS = {
    speed.name: speed
    for speed in (
        MAX,
        _profile("h100", output_tokens_per_s=2209, input_ns_per_token=294_267),
        _profile("h200", output_tokens_per_s=2587, input_ns_per_token=210_807),
        _profile("b200", output_tokens_per_s=6920, input_ns_per_token=84_244),
    )
}


def named(name: str) -> Speed:
    try:
        return SPEEDS[name]
    except KeyError:
        raise UnknownSpeed(name) from None
