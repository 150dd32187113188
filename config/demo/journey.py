"""The demo, step by step: bring everything up, send traffic, wait until it is counted, cost it, invoice it, show it."""

import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.utils import timezone
from openai import AuthenticationError, OpenAI
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from billing import closing, margin
from billing.documents import issue
from config import processes, running, settings
from config.demo import report, traffic
from config.demo.rows import POOLS, DemoTenant, lay_out, month_before
from config.ports import free_ports
from config.processes import Process
from inference import catching_up
from inference.models import HOUR, PoolHour
from metering.totals import usage_totals

CALLS_PER_TENANT = 120
PATIENCE_S = 60
OPERATOR = "demo"


class DemoFailed(Exception):
    """The demo did not see what it should have seen."""


@contextmanager
def demo(console: Console) -> Iterator[None]:
    """Run the whole demo; all that it brought up stays up for as long as the block runs."""
    ports = dict(zip((pool.slug for pool in POOLS), free_ports(len(POOLS)), strict=True))
    base_url, begun = processes.address(), timezone.now()
    with running.running(console.print, besides=[simulator(slug, port) for slug, port in ports.items()]):
        with steps(console) as step:
            step("Entering tenants, pools and prices")
            tenants = lay_out(ports)
            login = operator()
            step("Waiting until the gateway knows them")
            wait_until("the gateway knows the demo's keys", lambda: all(knows(base_url, tenant) for tenant in tenants))
            todo = [call for tenant in tenants for call in calls_of(tenant)]
            done = step("Calling the gateway with the OpenAI SDK", len(todo))
            seen = traffic.send(f"{base_url}/v1", todo, done)
            step("Waiting until every token is counted")
            wait_until(f"the counts are those that the SDK saw, {dict(seen)}", lambda: counted(tenants) == seen)
            step("Allocating the hour's hardware cost")
            catching_up.allocate_due(catching_up.RECENT)
            step("Closing the month early and rendering the invoices")
            paths = [invoice(tenant) for tenant in tenants]
        console.print(report.margins(margins_of(tenants)))
        console.print(report.pool_hours(hours_since(begun)))
        report.documents(console, paths)
        report.addresses(console, base_url, tenants[0], POOLS[0].offering, login)
        yield


def simulator(slug: str, port: int) -> Process:
    """The simulated worker of a pool, as fast as it can: what its tokens cost does not depend on how fast they came."""
    [model] = [pool.offering for pool in POOLS if pool.slug == slug]
    manage = str(settings.BASE_DIR / "manage.py")
    options = ("--model", model, "--port", str(port))
    command = (sys.executable, manage, "simulate", *options)
    return Process(f"simulator-{slug}", command, ready_url=f"http://127.0.0.1:{port}/health")


def operator() -> tuple[str, str]:
    """The demo's operator and a fresh password."""
    password = secrets.token_urlsafe(12)
    user, _ = User.objects.get_or_create(username=OPERATOR, defaults={"is_staff": True, "is_superuser": True})
    user.set_password(password)
    user.save()
    return OPERATOR, password


def calls_of(tenant: DemoTenant) -> list[traffic.Call]:
    models = [pool.offering for pool in POOLS]
    return traffic.calls(tenant.tenant.slug, tenant.secret, models, CALLS_PER_TENANT)


def knows(base_url: str, tenant: DemoTenant) -> bool:
    """Whether the gateway has seen the tenant's key and its prices."""
    with OpenAI(base_url=f"{base_url}/v1", api_key=tenant.secret, max_retries=0) as client:
        try:
            return len(client.models.list().data) == len(POOLS)
        except AuthenticationError:
            return False


def counted(tenants: Sequence[DemoTenant]) -> Counter[tuple[str, str]]:
    """Requests and tokens in the buckets so far, by (tenant, kind)."""
    found: Counter[tuple[str, str]] = Counter()
    for tenant in tenants:
        [total] = usage_totals({tenant.tenant.pk}, month_before(timezone.now()), after_tomorrow())
        slug = tenant.tenant.slug
        found[slug, "requests"] = total.requests or 0
        found[slug, "input"], found[slug, "output"] = total.input_tokens or 0, total.output_tokens or 0
    return found


def after_tomorrow() -> datetime:
    """The begin of the day after tomorrow, UTC: on a quarter of an hour, and after all that can have been used."""
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=2)


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Look ten times a second until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise DemoFailed(
                f"After {PATIENCE_S} s it was still not so that {what}. See {settings.TOKENWORKS_HOME}/log."
            )
        time.sleep(0.1)


def invoice(tenant: DemoTenant) -> Path:
    """Close the running month of a tenant early and save its PDF under TOKENWORKS_HOME/invoices."""
    closed = closing.close(tenant.tenant, this_month(tenant), early=True, now=timezone.now())
    folder = settings.TOKENWORKS_HOME / "invoices"
    folder.mkdir(exist_ok=True)
    path = folder / f"{closed.number}.pdf"
    path.write_bytes(issue.pdf_of(closed))
    return path


def this_month(tenant: DemoTenant) -> date:
    return datetime.now(ZoneInfo(tenant.tenant.time_zone)).date().replace(day=1)


def margins_of(tenants: Sequence[DemoTenant]) -> list[margin.Margin]:
    ids = {tenant.tenant.pk for tenant in tenants}
    return margin.margins(ids, None, None)


def hours_since(begun: datetime) -> list[PoolHour]:
    """The pool-hours of the demo: those that were not over when it began."""
    hours = PoolHour.objects.filter(pool__upstream__slug__in=[pool.slug for pool in POOLS], hour_start__gt=begun - HOUR)
    return list(hours.select_related("pool__upstream", "pool__hardware"))


@contextmanager
def steps(console: Console) -> Iterator[Callable[..., Callable[[], None]]]:
    """A display of steps. Calling it begins the next one and returns what to call for each of its `total` parts."""
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:

        def step(description: str, total: int = 1) -> Callable[[], None]:
            finish()
            task = progress.add_task(description, total=total)
            return lambda: progress.advance(task)

        def finish() -> None:
            for task in progress.tasks:
                progress.update(task.id, completed=task.total)

        yield step
        finish()
