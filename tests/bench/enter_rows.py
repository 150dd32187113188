"""Enters what a benchmark of the gateway needs into the copy whose environment this runs in; prints the key.

    python -m tests.bench.enter_rows BASE_URL_OF_THE_WORKER NUMBER_OF_KEYS

The tenant has a price book, a plan, limits and a budget that are far away, and NUMBER_OF_KEYS keys.
"""

import os
import sys
from decimal import Decimal

import django
from django.db import connection, transaction

MODEL = "bench-model"
FAR = 10**9
OTHER_KEYS_SQL = """
INSERT INTO tenants_apikey (project_id, name, prefix, digest, created_at)
SELECT %s, 'other-' || n, 'sk-tw-', sha256(('other-' || n)::bytea), now() FROM generate_series(2, %s) n
"""


@transaction.atomic
def enter(worker: str, keys: int) -> str:
    from django.utils import timezone

    from billing import publishing
    from billing.models import PriceBook, PriceBookVersion, Rate
    from config.demo.rows import CURRENCY, TENANTS, month_before
    from inference import catalogue
    from inference.models import Pool, Worker
    from metering.usage import Unit
    from providers.models import Deployment, Offering, Upstream
    from tenants import registry
    from tenants.models import Budget, Limit, Tenant

    offering = Offering.objects.create(name=MODEL)
    upstream = Upstream.objects.create(slug="bench", name="Benchmark")
    calibration = catalogue.entry("h100").calibration
    pool = Pool.objects.create(
        upstream=upstream,
        hardware=catalogue.hardware("h100"),
        devices=1,
        input_ns_per_token=calibration.input_ns_per_token,
        output_ns_per_token=calibration.output_ns_per_token,
    )
    Worker.objects.create(pool=pool, base_url=worker, engine=Worker.Engine.VLLM)
    Deployment.objects.create(slug="bench", offering=offering, upstream=upstream, model_name=MODEL)

    began = month_before(timezone.now())
    book = PriceBook.objects.create(slug="bench", name="Benchmark", currency=CURRENCY)
    version = PriceBookVersion.objects.create(price_book=book, valid_from=began)
    for unit in (Unit.INPUT_UNCACHED, Unit.INPUT_CACHED, Unit.OUTPUT, Unit.REASONING):
        Rate.objects.create(version=version, offering=MODEL, unit=unit, amount=Decimal("0.5"), per=1_000_000)
    Rate.objects.create(version=version, offering=MODEL, unit=Unit.REQUEST, amount=Decimal(0), per=1)
    publishing.publish(version)
    issued = registry.admit(Tenant(**TENANTS[0], currency=CURRENCY), key="bench")
    publishing.agree(issued.key.project.tenant, book, began)
    limited = {"requests_per_minute": FAR, "tokens_per_minute": FAR, "parallel_requests": FAR}
    Limit.objects.create(tenant=issued.key.project.tenant, **limited)
    Limit.objects.create(tenant=issued.key.project.tenant, api_key=issued.key, **limited)
    Budget.objects.create(
        tenant=issued.key.project.tenant,
        window=Budget.Window.MONTH,
        kind=Budget.Kind.MONEY,
        amount=Decimal(10**6),
        notify_at_percent=[80, 100],
    )
    with connection.cursor() as cursor:
        cursor.execute(OTHER_KEYS_SQL, [issued.key.project_id, keys])
    return issued.secret


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    print(enter(sys.argv[1], int(sys.argv[2])))
