"""HTTP's chunked coding, as far as it is read without a parser: whole chunks, written as usual. Pure."""

LENGTH_DIGITS_MAX = 8

Place = tuple[int, int]  # Where in some bytes the data of a chunk begins and ends.


def chunks_of(framed: bytes) -> list[Place]:
    """The places of the chunks, if these bytes are whole chunks and nothing else; else none.

    What is unusual is left to a parser: the last chunk, extensions, lengths in capitals or with zeros before them.
    """
    places = []
    position, end = 0, len(framed)
    while position < end:
        line_end = framed.find(b"\r\n", position, position + LENGTH_DIGITS_MAX + 2)
        if line_end < 0:
            return []
        written = framed[position:line_end]
        try:
            size = int(written, 16)
        except ValueError:
            return []
        begin = line_end + 2
        position = begin + size + 2
        if size == 0 or b"%x" % size != written or framed[position - 2 : position] != b"\r\n":
            return []
        places.append((begin, position - 2))
    return places
