"""Bodies that were compressed by gzip, as OpenTelemetry's collector sends them. Pure."""

import zlib

from metering.ingest_formats.reported import Malformed, TooManyEvents, UnknownFormat, shortened

_GZIP = 16 + zlib.MAX_WBITS  # With gzip's head and its checksum.


def plain(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The body as it was before; never more than `bytes_max` of it is unpacked.

    Raises TooManyEvents where it is longer, Malformed where it is not whole, UnknownFormat for other encodings.
    """
    if encoding not in ("identity", "gzip"):
        raise UnknownFormat(f"The content encoding {shortened(encoding)} is not gzip. Send the body as it is.")
    found = body if encoding == "identity" else _unpacked(body, bytes_max + 1)
    if len(found) > bytes_max:
        raise TooManyEvents(f"The body is longer than {bytes_max} bytes. Send the events in several calls.")
    return found


def _unpacked(body: bytes, bytes_max: int) -> bytes:
    unpacking = zlib.decompressobj(_GZIP)
    try:
        found = unpacking.decompress(body, bytes_max)
    except zlib.error as problem:
        raise Malformed(f"The body is not what gzip makes: {problem}") from problem
    if len(found) < bytes_max and (not unpacking.eof or unpacking.unused_data):
        raise Malformed("The body is cut within its gzip, or goes on behind it.")
    return found
