"""Usage as others report it, and calls that report it."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from metering.models import Bucket
from tenants.models import ApiKey
from tests.conftest import Person

NDJSON = "application/x-ndjson"
BATCH = "application/cloudevents-batch+json"
SOURCE = "https://gateway.example/eu-1"


def flat(number: int | str = 1, at: datetime | None = None, **members: Any) -> dict[str, Any]:
    """A flat event; a member that is given as None is left out."""
    event = {
        "id": f"req-{number}",
        "source": SOURCE,
        "time": (at or timezone.now().replace(microsecond=0) - timedelta(hours=1)).isoformat(),
        "offering": "llama-3.3-70b",
        "usage": {"input_uncached": 70, "output": 30},
        **members,
    }
    return {name: said for name, said in event.items() if said is not None}


def lines(events: Sequence[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def allow(who: Person) -> None:
    """Let the person's key report usage, as an operator does on its page."""
    ApiKey.objects.filter(pk=who.key.pk).update(reports_usage=True)


def caller(who: Person | User) -> APIClient:
    """One that may report usage."""
    client = APIClient(raise_request_exception=False)
    if isinstance(who, Person):
        allow(who)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {who.secret}")
    else:
        client.force_login(who)
    return client


def send(who: Person | User, body: bytes, content_type: str = NDJSON, *, headers: Any = None, **query: str) -> Any:
    """The answer to a call that reports this body."""
    address = reverse("usage-events", query=query)
    return caller(who).post(address, data=body, content_type=content_type, headers=headers)


def report(who: Person | User, *events: dict[str, Any], **query: str) -> Any:
    return send(who, lines(events), **query)


def used() -> dict[str, int]:
    """What the buckets have, by unit, without those that came to nothing."""
    totals: dict[str, int] = {}
    for unit, quantity in Bucket.objects.values_list("unit", "quantity"):
        totals[unit] = totals.get(unit, 0) + quantity
    return {unit: quantity for unit, quantity in totals.items() if quantity}
