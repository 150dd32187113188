"""The members of a JSON object, as bytes: read apart, joined, and one cut out. Values stay byte for byte. Pure."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

# What reading hostile JSON may raise: not JSON, wrong type, names that are not UTF-8, nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Pieces = list[Raw | bytes]  # A document in pieces: together, in this order, they are it.

_encode_name = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Raw]).decode


def read(document: bytes) -> dict[str, Raw]:
    """The members by name; of members with the same name the last one. Raises one of UNREADABLE."""
    return _read(document)


def join(members: Mapping[str, Raw | bytes]) -> bytes:
    """The object of these members. Its values are copied once, for they may be large."""
    return b"".join(pieces_of(members))


def pieces_of(members: Mapping[str, Raw | bytes]) -> Pieces:
    """The object of these members, in pieces. Its values are not copied."""
    pieces: Pieces = []
    for name, value in members.items():
        pieces += (b",", _encode_name(name), b":", value)
    pieces[:1] = [b"{"]
    pieces.append(b"}")
    return pieces


def are_all_of(members: Mapping[str, Raw], document: bytes) -> bool:
    """Whether the document is these members and nothing else: no spaces around them, and no name twice.

    A name that stands there twice was read once, and so a document that holds one is longer than its members are.
    """
    size = 1
    for name, value in members.items():
        size += len(name) + len(value) + 4  # Its quotes, its colon, and the comma or the brace behind it.
    return size == len(document)


def cut(document: bytes, name: str, value: bytes) -> bytes:
    """The object without one member, whose value is given as it stands there.

    A last member is cut off the end: `,"name":value}` can only be the last member of the whole object, for a quote
    within a text would be escaped. Anywhere else the members are read and joined without it.
    """
    tail = b',"' + name.encode() + b'":' + value + b"}"
    if document.endswith(tail):
        return document[: -len(tail)] + b"}"
    members = read(document)
    del members[name]
    return join(members)
