"""Which worker has most likely seen the beginning of this prompt before. Pure, and the same in every process.

Rendezvous hashing: every worker gets a score for a key, and the highest is asked first. A worker that comes takes
only the keys for which it is now the highest; one that goes leaves only its own to the others. Loads are bounded: a
worker may have at most LOAD_SHARE_PERCENT of the average, and FREE_LOAD in any case, so a beginning that everybody
uses spreads over as many workers as it needs.
"""

import hashlib
from collections.abc import Sequence

from gateway.standing import Standing

LOAD_SHARE_PERCENT = 125
FREE_LOAD = 4  # Engines work in batches: so few requests do not slow each other down.
SESSION_CHARACTERS_MAX = 256

_MASK = 2**64 - 1


def key_of_prefix(prompt: memoryview, prefix_bytes: int) -> int:
    """A key from how a prompt begins, as the caller wrote it."""
    return int.from_bytes(hashlib.blake2b(prompt[:prefix_bytes], digest_size=8).digest(), "little")


def key_of_session(tenant_id: int, session: bytes) -> int:
    """A key from a caller's own word for a conversation. Tenants cannot meet in one."""
    named = b"%d:%b" % (tenant_id, session[:SESSION_CHARACTERS_MAX])
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little")


def score(key: int, seed: int) -> int:
    """A number from both, of 64 bits each, that shows no pattern: the finaliser of SplitMix64."""
    mixed = key ^ seed
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def load_bound(loads: Sequence[int]) -> int:
    """How many requests one of these workers may have, the next one included; at least one worker is always below."""
    fair = -(-LOAD_SHARE_PERCENT * (sum(loads) + 1) // (100 * len(loads)))
    return max(FREE_LOAD, fair)


def in_order(key: int, workers: Sequence[Standing]) -> list[Standing]:
    """Workers by score; those that have enough to do come behind, the least loaded first."""
    loads = [worker.load for worker in workers]
    bound = load_bound(loads)
    preferred = []
    full = []
    for worker, load in zip(workers, loads, strict=True):
        if load < bound:
            preferred.append((-score(key, worker.seed), worker.base_url, worker))
        else:
            full.append((load, worker.base_url, worker))
    return [worker for _, _, worker in (*sorted(preferred), *sorted(full))]
