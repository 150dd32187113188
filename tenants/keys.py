"""API keys as text: how one is made, what is kept of it, and what may be shown of it.

A key is 256 random bits, so its SHA-256 digest can be looked up as it is: guessing is out of reach and a slow
password hash would only cost every request. The secret itself is shown once and kept nowhere.
"""

import hashlib
import secrets

MARK = "sk-tw-"
PREFIX_CHARACTERS = len(MARK) + 6
SECRET_CHARACTERS_MAX = 200  # What a caller may send as a key; ours have 49.


def new_secret() -> str:
    return MARK + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """The 32 bytes by which a key is found."""
    return hashlib.sha256(secret.encode()).digest()


def visible_prefix(secret: str) -> str:
    """The beginning of a key, enough for its owner to tell it from their others."""
    return secret[:PREFIX_CHARACTERS]
