"""The validating process: `python -m billing.documents.validation`. Reads questions, writes verdicts, until its
standard input ends, which it does when whoever asks is gone. Knows neither Django nor the database.
"""

import sys
from typing import BinaryIO

import msgspec

from billing.documents.validation.frames import FRAME_BYTES_MAX, LENGTH_BYTES, Question, Verdict, framed
from billing.documents.validation.rulebooks import Rulebooks


def main(questions: BinaryIO, verdicts: BinaryIO) -> None:
    rulebooks = Rulebooks()
    while len(head := questions.read(LENGTH_BYTES)) == LENGTH_BYTES:
        length = int.from_bytes(head, "big")
        if length > FRAME_BYTES_MAX:
            raise SystemExit(f"A question of {length} bytes is over the limit of {FRAME_BYTES_MAX}.")
        verdicts.write(framed(_verdict(rulebooks, questions.read(length))))
        verdicts.flush()


def _verdict(rulebooks: Rulebooks, payload: bytes) -> Verdict:
    try:
        question = msgspec.msgpack.decode(payload, type=Question)
        return rulebooks.judge(question.syntax, question.xml)
    except Exception as failure:  # Whatever it is, whoever asked must hear of it, and the next document may be sound.
        return Verdict(failure=f"{type(failure).__name__}: {failure}")


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
