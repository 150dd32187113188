"""Compressed bodies: unpacked up to a limit, and only whole."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.ingest_formats.compression import plain
from metering.ingest_formats.reported import Malformed, TooManyEvents, UnknownFormat


@given(st.binary(max_size=1000))
def test_a_body_is_what_it_was_before(body: bytes) -> None:
    assert plain(gzip.compress(body), "gzip", 1000) == body
    assert plain(body, "identity", 1000) == body


def test_a_body_that_would_unpack_to_more_than_the_limit_is_refused() -> None:
    assert len(plain(gzip.compress(b"\0" * 1000), "gzip", 1000)) == 1000
    for body in (gzip.compress(b"\0" * 1001), gzip.compress(b"\0" * 50_000_000)):
        with pytest.raises(TooManyEvents):
            plain(body, "gzip", 1000)
    with pytest.raises(TooManyEvents):
        plain(b"\0" * 1001, "identity", 1000)


def test_a_body_that_is_cut_changed_or_longer_is_refused() -> None:
    whole = gzip.compress(b"usage" * 20)
    for body in (whole[:-1], whole[:-8], whole + b"x", b"", b"usage", whole[:-8] + b"\0\0\0\0" + whole[-4:]):
        with pytest.raises(Malformed):
            plain(body, "gzip", 1000)


def test_other_encodings_are_refused() -> None:
    for encoding in ("br", "deflate", "gzip, gzip", ""):
        with pytest.raises(UnknownFormat):
            plain(b"", encoding, 1000)
