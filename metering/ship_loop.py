"""Ships for as long as it is wanted, through anything that Postgres and Valkey do meanwhile."""

import logging
from threading import Event

from django.db import InterfaceError, OperationalError, connection

from metering.models import Batch
from metering.shipping import Shipper

log = logging.getLogger(__name__)

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0


def ship_until(stopped: Event, shipper: Shipper, *, interval_s: float) -> None:
    """Ship until `stopped` is set; the batch at hand is finished first.

    Where Postgres is away this is said once, and tried again after a delay that doubles up to RETRY_MAX_S: the
    journal keeps everything meanwhile.
    """
    delay_s = 0.0
    while not stopped.is_set():
        try:
            batches = shipper.ship_round()
        except (OperationalError, InterfaceError) as problem:
            connection.close()
            if not delay_s:
                log.error("Postgres is away, the journals keep everything: %s", problem)
            delay_s = min(delay_s * 2 or RETRY_FIRST_S, RETRY_MAX_S)
            stopped.wait(delay_s)
            continue
        if delay_s:
            log.info("Postgres is back.")
            delay_s = 0.0
        report(batches)
        if not shipper.is_behind(batches):
            stopped.wait(interval_s)  # Also after a small batch, or steady traffic would be shipped in crumbs.


def ship_everything(shipper: Shipper) -> int:
    """Ship until no request has ended that is not shipped; return how many events were committed."""
    events = 0
    while batches := shipper.ship_round():
        report(batches)
        events += sum(batch.events for batch in batches)
    return events


def report(batches: list[Batch]) -> None:
    for batch in batches:
        log.info("Shipped %s: %d events.", batch, batch.events)
