"""Numbers as Prometheus reads them: its text exposition format, version 0.0.4. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Sample(NamedTuple):
    """One line: `suffix` goes behind the family's name."""

    labels: Labels
    value: int | str
    suffix: str = ""


class Family(NamedTuple):
    """All lines of one name. `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    meaning: str
    samples: Sequence[Sample]


def single(name: str, kind: str, meaning: str, value: int | str) -> Family:
    """A family of one line without labels."""
    return Family(name, kind, meaning, [Sample({}, value)])


def seconds(us: int) -> str:
    """Microseconds as exact decimal seconds."""
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"


def histogram_samples(labels: Labels, bounds_us: Sequence[int], counts: Sequence[int], sum_us: int) -> list[Sample]:
    """The lines of one histogram of times. `counts` has one more than `bounds_us`: what is over the last bound."""
    samples = []
    so_far = 0
    for bound, count in zip([*map(seconds, bounds_us), "+Inf"], counts, strict=True):
        so_far += count
        samples.append(Sample({**labels, "le": bound}, so_far, "_bucket"))
    return [*samples, Sample(labels, seconds(sum_us), "_sum"), Sample(labels, so_far, "_count")]


def page(families: Iterable[Family]) -> bytes:
    """The whole page. A family without samples is left out."""
    lines = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {family.meaning}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += [f"{family.name}{each.suffix}{_shown(each.labels)} {each.value}" for each in family.samples]
    return "\n".join([*lines, ""]).encode()


def _shown(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
