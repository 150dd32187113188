"""Finds out who is calling, from the key that a request carries."""

from gateway.asgi import Request
from gateway.errors import InvalidKey, TenantSuspended
from gateway.snapshot import Snapshot
from tenants.keys import SECRET_CHARACTERS_MAX, digest
from tenants.snapshot import Principal

SCHEME = b"bearer "


def principal_of(request: Request, snapshot: Snapshot) -> Principal:
    """Whoever the key speaks for. Raises InvalidKey or TenantSuspended."""
    authorization = request.header(b"authorization")
    if authorization is None:
        raise InvalidKey("No API key was sent. Send one as `Authorization: Bearer sk-tw-...`.")
    secret = authorization[len(SCHEME) :].strip()
    if authorization[: len(SCHEME)].lower() != SCHEME or len(secret) > SECRET_CHARACTERS_MAX:
        raise InvalidKey
    principal = snapshot.principals.get(digest(secret.decode("latin-1")))
    if principal is None:
        raise InvalidKey
    if principal.refusal == "suspended":
        raise TenantSuspended
    if principal.refusal is not None:
        raise InvalidKey
    return principal
