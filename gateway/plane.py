"""What the endpoints of one gateway process share."""

from dataclasses import dataclass

from gateway.admission.admission import Admission
from gateway.attempt import Attempt
from gateway.config import GatewayConfig
from gateway.pool import UpstreamClient
from gateway.retrying import RetryBudget
from gateway.routing import Router
from metering.journal import Journal


@dataclass(frozen=True, slots=True)
class Plane:
    """The parts of the data plane, put together when the process starts."""

    config: GatewayConfig
    admission: Admission
    journal: Journal
    upstreams: UpstreamClient
    router: Router
    retries: RetryBudget
    attempt: type[Attempt] = Attempt
