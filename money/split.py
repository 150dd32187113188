"""Splitting a total so that the parts add up to it."""

from collections.abc import Sequence

from money.errors import NothingToSplitBy


def split(total: int, weights: Sequence[int]) -> list[int]:
    """The total in as many parts as there are weights, in proportion to them, by the largest remainder.

    The parts sum exactly to the total, and each is within one of its exact share. What division leaves over goes to
    the largest remainders, the earlier position first. A negative total gives the mirror image of the positive one.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise NothingToSplitBy(
            f"{total} cannot be split by {len(weights)} weights that sum to {whole}: "
            "give at least one above zero and none below."
        )
    if total < 0:
        return [-part for part in split(-total, weights)]
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    left_over = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda position: (-remainders[position], position))
    for position in by_remainder[:left_over]:
        parts[position] += 1
    return parts
