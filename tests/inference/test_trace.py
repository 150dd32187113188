from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.trace import TOKENS_MAX, MalformedRow, TraceRow, parse, prompt

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
GOOD = "2023-11-16 18:17:03.9799600,4808,10"
AZURE = Path(__file__).parents[3] / "shared" / "traces" / "azure_llm_2023_code.csv"


def test_a_row_becomes_a_request_with_its_time_and_sizes() -> None:
    assert parse([HEADER, GOOD]) == [TraceRow(1, 1_700_158_623_979_960, 4808, 10)]


def test_windows_line_ends_are_read() -> None:
    assert parse([HEADER + "\r\n", GOOD + "\r\n"]) == parse([HEADER, GOOD])


@pytest.mark.parametrize("fraction", ["", ".1", ".1234567"])
def test_fractions_of_up_to_seven_digits_are_read(fraction: str) -> None:
    row = parse([HEADER, f"1970-01-01 00:00:01{fraction},1,1"])[0]
    assert row.at_us == 1_000_000 + int(fraction.removeprefix(".").ljust(6, "0")[:6])


@pytest.mark.parametrize(
    "row",
    [
        "",
        "2023-11-16 18:17:03.9799600,4808",
        "2023-11-16 18:17:03.9799600,4808,10,1",
        "2023-13-16 18:17:03,4808,10",
        "16.11.2023 18:17,4808,10",
        "2023-11-16 18:17:03.12345678,4808,10",
        "2023-11-16 18:17:03,-1,10",
        "2023-11-16 18:17:03,0,10",
        "2023-11-16 18:17:03,4808,0",
        "2023-11-16 18:17:03,1e3,10",
        "2023-11-16 18:17:03,4808,1.5",
        "2023-11-16 18:17:03,٤,10",
        "2023-11-16 18:17:03,NaN,10",
        f"2023-11-16 18:17:03,{TOKENS_MAX + 1},10",
        f"2023-11-16 18:17:03,4808,{10**40}",
        '2023-11-16 18:17:03,"4808,10',
    ],
)
def test_a_malformed_row_is_named_by_its_line(row: str) -> None:
    with pytest.raises(MalformedRow, match=r"^Line 3: ") as refused:
        parse([HEADER, GOOD, row])
    assert refused.value.line == 3


@pytest.mark.parametrize("header", ["", "a,b,c", GOOD, "TIMESTAMP,GeneratedTokens,ContextTokens"])
def test_another_header_is_refused(header: str) -> None:
    with pytest.raises(MalformedRow, match=r"^Line 1: "):
        parse([header, GOOD])


@pytest.mark.parametrize("lines", [[], [HEADER]])
def test_a_trace_without_a_row_is_refused(lines: list[str]) -> None:
    with pytest.raises(MalformedRow):
        parse(lines)


def test_a_trace_that_is_too_long_is_refused() -> None:
    assert len(parse([HEADER, GOOD, GOOD], rows_max=2)) == 2
    with pytest.raises(MalformedRow, match=r"^Line 4: .*Split the file"):
        parse([HEADER, GOOD, GOOD, GOOD], rows_max=2)


@given(st.integers(1, 5000))
def test_a_prompt_has_as_many_words_as_tokens(tokens: int) -> None:
    assert len(prompt(tokens).split()) == tokens


@pytest.mark.skipif(not AZURE.exists(), reason=f"the Azure trace of 2023 is not at {AZURE}")
def test_the_public_azure_trace_is_read_whole() -> None:
    with AZURE.open(newline="") as lines:
        rows = parse(lines)
    assert len(rows) == 8_819
    assert sum(row.input_tokens for row in rows) == 18_059_974
    assert sum(row.output_tokens for row in rows) == 245_896
