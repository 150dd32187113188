"""CloudEvents 1.0 over HTTP: structured, batched and binary. Pure.

Attributes that we do not know are extensions and are left alone, as the specification wants; what `data` says that we
do not know is refused. From github.com/cloudevents/spec: the JSON event format and the HTTP protocol binding.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Meta, Struct

from metering.ingest_formats import strict
from metering.ingest_formats.reported import BadEvent, Malformed, ReportedUsage, Statement, described, reported

TYPE = "tokenworks.usage"
JSON = ("application/json", "text/json")


class CloudEvent(Struct, kw_only=True, frozen=True):
    """The attributes that count for us. `data_base64` is none of them: usage is JSON."""

    specversion: Literal["1.0"]
    type: str
    id: str
    source: str
    data: Statement
    time: Annotated[datetime, Meta(tz=True)] | None = None
    datacontenttype: str | None = None
    tenant: str | None = None


_decoder = msgspec.json.Decoder(CloudEvent)
_data = msgspec.json.Decoder(Statement)


def structured(raw: bytes, tenant: str) -> ReportedUsage:
    """One event as a JSON object. Raises BadEvent."""
    return _reported(strict.decoded(_decoder, raw), tenant)


def binary(body: bytes, headers: Mapping[str, str], tenant: str) -> ReportedUsage:
    """One event whose attributes are `ce-` headers and whose data is the body. Raises BadEvent, Malformed."""
    attributes: dict[str, Any] = {
        name[3:].lower(): _unescaped(name, value) for name, value in headers.items() if name.lower().startswith("ce-")
    }
    attributes.pop("data", None)
    data = strict.decoded(_data, body)
    try:
        event = msgspec.convert({**attributes, "data": data}, CloudEvent)
    except msgspec.ValidationError as problem:
        raise described(problem) from problem
    return _reported(event, tenant)


def _reported(event: CloudEvent, tenant: str) -> ReportedUsage:
    if event.type != TYPE:
        raise BadEvent("type", f"Only events of the type {TYPE} are usage.")
    if event.datacontenttype is not None and event.datacontenttype.partition(";")[0].strip().lower() not in JSON:
        raise BadEvent("datacontenttype", "The data of usage is application/json.")
    if event.tenant is not None and event.data.tenant is not None and event.tenant != event.data.tenant:
        raise BadEvent("tenant", "The attribute and the data name two tenants.")
    statement = event.data if event.tenant is None else msgspec.structs.replace(event.data, tenant=event.tenant)
    return reported(event.source, event.id, event.time, statement, tenant=tenant)


def _unescaped(name: str, value: str) -> str:
    """A header's value: what is not printable ASCII is percent-encoded UTF-8 there."""
    try:
        return unquote_to_bytes(value.strip().strip('"')).decode()
    except UnicodeDecodeError as problem:
        raise Malformed(f"The header {name} is not UTF-8 behind its percent signs.") from problem
