"""An upstream's refusal in the shape that OpenAI's SDKs read: `{"error": {message, type, param, code}}`. Pure.

Engines differ: vLLM puts the status as a number into `code` and its own class into `type`, older ones leave out the
`error` around it, FastAPI says `detail`. The upstream's message stays as it is.
"""

import msgspec

from providers.dialects.members import UNREADABLE

MESSAGE_CHARACTERS_MAX = 4000
KINDS = {404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error"}
KIND = "invalid_request_error"
OPENAIS_KINDS = frozenset({KIND, *KINDS.values(), "tokens", "requests", "insufficient_quota"})
UNEXPLAINED = "The upstream refused the request and did not say why."


class Error(msgspec.Struct):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class Refused(msgspec.Struct):
    error: Error | str | None = None
    message: object = None
    param: object = None
    detail: object = None


_read = msgspec.json.Decoder(Refused).decode


def in_openais_shape(body: bytes, status: int) -> bytes:
    """The same bytes where they have the shape already."""
    try:
        refused = _read(body)
    except UNREADABLE:
        return _shaped(body.decode(errors="replace"), None, None, status)
    error = refused.error
    if isinstance(error, Error):
        said = isinstance(error.message, str) and isinstance(error.type, str) and _is_text(error.code, error.param)
        if said and error.type in OPENAIS_KINDS:
            return body
        return _shaped(error.message, error.param, error.code, status)
    return _shaped(error or refused.message or refused.detail, refused.param, None, status)


def _is_text(*values: object) -> bool:
    return all(value is None or isinstance(value, str) for value in values)


def _shaped(message: object, param: object, code: object, status: int) -> bytes:
    said = message if isinstance(message, str) else (msgspec.json.encode(message).decode() if message else "")
    error = {
        "message": said[:MESSAGE_CHARACTERS_MAX] or UNEXPLAINED,
        "type": KINDS.get(status, KIND),
        "param": param if isinstance(param, str) else None,
        "code": code if isinstance(code, str) else None,
    }
    return msgspec.json.encode({"error": error})
