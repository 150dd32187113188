"""The counters of a simulated worker, in Prometheus' text format under the names and labels of vLLM's V1 engine."""

from collections.abc import Iterator
from dataclasses import dataclass, field

FINISH_REASONS = ("stop", "length", "abort")


@dataclass
class Metrics:
    """What a worker has done since it started, in requests and tokens."""

    model: str
    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FINISH_REASONS, 0))

    def text(self) -> bytes:
        return "".join(self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        name = self.model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        labels = f'engine="0",model_name="{name}"'
        yield from _metric("num_requests_running", "gauge", "Requests in execution.", {labels: self.running})
        yield from _metric("num_requests_waiting", "gauge", "Requests waiting to be run.", {labels: self.waiting})
        yield from _metric("prompt_tokens_total", "counter", "Prompt tokens read.", {labels: self.prompt_tokens})
        yield from _metric(
            "generation_tokens_total", "counter", "Answer tokens written.", {labels: self.generation_tokens}
        )
        finished = {f'{labels},finished_reason="{reason}"': count for reason, count in self.finished.items()}
        yield from _metric("request_success_total", "counter", "Requests that came to an end.", finished)


def _metric(name: str, kind: str, description: str, values: dict[str, int]) -> Iterator[str]:
    yield f"# HELP vllm:{name} {description} (simulated)\n# TYPE vllm:{name} {kind}\n"
    for labels, value in values.items():
        yield f"vllm:{name}{{{labels}}} {value}.0\n"
