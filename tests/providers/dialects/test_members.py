"""Cutting a member out of a JSON object, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects import members

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=5)
    | st.sampled_from(['"usage":', ',"usage":1}']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("usage"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), VALUES, st.booleans(), st.booleans())
def test_only_the_named_member_goes(others: dict[str, Any], value: Any, last: bool, compact: bool) -> None:
    others.pop("usage", None)
    given = {**others, "usage": value} if last else {"usage": value, **others}
    document = json.dumps(given, separators=(",", ":") if compact else None).encode()
    found = bytes(members.read(document)["usage"])
    assert json.loads(members.cut(document, "usage", found)) == others


def test_all_other_bytes_stay_where_the_member_is_the_last() -> None:
    document = b'{ "a" : 1.50 , "b":"\\u00e4" ,"usage":{"x": 1}}'
    assert members.cut(document, "usage", b'{"x": 1}') == b'{ "a" : 1.50 , "b":"\\u00e4" }'


def test_a_member_within_another_is_left_alone() -> None:
    document = b'{"usage":{"x":1},"b":{"a":1,"usage":{"x":1}}}'
    assert members.cut(document, "usage", b'{"x":1}') == b'{"b":{"a":1,"usage":{"x":1}}}'


def test_a_text_that_looks_like_the_member_is_left_alone() -> None:
    document = b'{"usage":1,"b":",\\"usage\\":1}"}'
    assert members.cut(document, "usage", b"1") == b'{"b":",\\"usage\\":1}"}'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"a":1} x',
        b'{"\xff":1}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
    ],
)
def test_what_is_no_object_is_unreadable(document: bytes) -> None:
    with pytest.raises(members.UNREADABLE):
        members.read(document)


@given(st.dictionaries(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x21), max_size=3), VALUES, max_size=4))
def test_a_compact_document_is_all_of_its_members_and_one_with_spaces_is_not(given: dict[str, Any]) -> None:
    compact = json.dumps(given, separators=(",", ":")).encode()
    plain = bool(given) and not any(character in name for name in given for character in '"\\')
    assert members.are_all_of(members.read(compact), compact) == plain
    assert not members.are_all_of(members.read(compact), compact + b" ")


@pytest.mark.parametrize(
    "document", [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":22}', b'{"":1,"":1}', b'{"a":1,"b":2,"a":3}']
)
def test_a_document_with_a_name_twice_is_more_than_its_members(document: bytes) -> None:
    assert not members.are_all_of(members.read(document), document)
