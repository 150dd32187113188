"""Why a request is not answered, in the shape that OpenAI's SDKs read.

    Refusal
    ├── BadRequest, BodyTooLarge, UnknownModel, UnknownPath, MethodNotAllowed
    ├── InvalidKey, KeyExpired, TenantSuspended, AddressRefused
    ├── those of limits and budgets, in gateway/admission/refusals.py
    └── ServerTrouble
        ├── NotReady, TooManyRequestsOpen, NoWorker, JournalDown      ours, and gone soon: 503 with Retry-After
        ├── UpstreamBroken, UpstreamSilent                            the upstream's
        └── Unexpected                                                a mistake in this program

A class's docstring is its default message. Trouble of our own is never said to be the caller's.
"""

from typing import Any, ClassVar

import msgspec


class CallerLeft(Exception):
    """The caller hung up before the request was whole; nobody is there to answer."""


class Refusal(Exception):
    """The request was refused."""

    status: ClassVar[int]
    kind: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str | None] = None
    retry_after_s: ClassVar[int | None] = None
    model: str | None = None  # The offering that was asked for, once it is known to be one.

    def __init__(self, message: str | None = None, param: str | None = None) -> None:
        self.message = message or type(self).__doc__ or ""
        self.param = param
        super().__init__(self.message)

    def error(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def body(self) -> bytes:
        return msgspec.json.encode(self.error())

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]


class BadRequest(Refusal):
    """The request cannot be understood."""

    status = 400


class InvalidKey(Refusal):
    """The API key is missing, unknown or revoked. Send a valid one as `Authorization: Bearer sk-tw-...`."""

    status = 401
    code = "invalid_api_key"


class KeyExpired(Refusal):
    """The API key has expired. Use another one."""

    status = 401
    code = "api_key_expired"


class AddressRefused(Refusal):
    """This API key may not be used from your network address."""

    status = 403
    kind = "permission_error"
    code = "ip_not_allowed"


class TenantSuspended(Refusal):
    """The account of this API key is suspended. Ask the operator of this service."""

    status = 403
    kind = "permission_error"
    code = "account_suspended"


class UnknownModel(Refusal):
    """The model does not exist or you do not have access to it."""

    status = 404
    code = "model_not_found"


class UnknownPath(Refusal):
    """There is nothing at this path."""

    status = 404
    code = "unknown_url"


class MethodNotAllowed(Refusal):
    """This path does not take this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"allow", self.allowed.encode())]


class BodyTooLarge(Refusal):
    """The body is over the limit."""

    status = 413
    code = "body_too_large"

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"connection", b"close")]  # What is left of the body is not read.


class ServerTrouble(Refusal):
    """This service has trouble of its own. Try again."""

    status = 503
    kind = "server_error"
    retry_after_s: ClassVar[int | None] = 1


class NotReady(ServerTrouble):
    """This service does not know its tenants yet. Try again in a moment."""

    code = "not_ready"


class TooManyRequestsOpen(ServerTrouble):
    """This service is answering as many requests as it can. Try again in a moment."""

    code = "overloaded"


class NoWorker(ServerTrouble):
    """No worker can be reached for this model. Try again in a moment."""

    code = "no_worker"


class JournalDown(ServerTrouble):
    """This service cannot record usage, and so answers nothing. Try again in a moment."""

    code = "not_recordable"
    retry_after_s = 5


class Unexpected(ServerTrouble):
    """This service made a mistake. The request id helps to find it."""

    status = 500
    code = "unexpected"
    retry_after_s = None


class UpstreamBroken(ServerTrouble):
    """The upstream did not give a whole answer."""

    status = 502
    code = "upstream_failed"
    retry_after_s = None


class UpstreamSilent(ServerTrouble):
    """The upstream did not answer in time."""

    status = 504
    code = "upstream_timeout"
    retry_after_s = None
