import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.dialects.openai_errors import UNEXPLAINED, in_openais_shape

OPENAI = b'{"error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": null}}'


def error_of(body: bytes, status: int = 400) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(in_openais_shape(body, status))["error"]
    return error


def test_openais_own_words_pass_byte_for_byte() -> None:
    assert in_openais_shape(OPENAI, 400) is OPENAI


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"too long","type":"BadRequestError","param":"messages","code":400}}', "too long"),
        (b'{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}', "too long"),
        (b'{"error":"too long"}', "too long"),
        (b'{"detail":"too long"}', "too long"),
        (b'{"detail":[{"loc":["body"],"msg":"too long"}]}', '[{"loc":["body"],"msg":"too long"}]'),
        (b"too long", "too long"),
        (b"", UNEXPLAINED),
        (b"{}", UNEXPLAINED),
        (b'{"error":{}}', UNEXPLAINED),
    ],
)
def test_what_engines_say_reaches_the_caller_in_openais_shape(body: bytes, message: str) -> None:
    error = error_of(body)
    assert error["message"] == message
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


def test_the_field_at_fault_and_a_code_in_words_are_kept() -> None:
    error = error_of(b'{"error":{"message":"no","type":"X","param":"n","code":"too_many"}}', 429)
    assert error == {"message": "no", "type": "rate_limit_error", "param": "n", "code": "too_many"}


NAMES = st.sampled_from(["error", "message", "type", "code", "param", "detail"])
INNER = st.none() | st.text() | st.integers()
JSON = st.recursive(INNER, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()), st.integers(400, 499))
@example(b'{"error": {"message": "no", "type": {"a": 1}}}', 400)
def test_whatever_an_upstream_says_the_caller_gets_the_shape(body: bytes, status: int) -> None:
    error = error_of(body, status)
    assert error.keys() >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["code"] is None or isinstance(error["code"], str)
