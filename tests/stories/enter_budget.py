"""Enters a project with a hard budget into the copy whose environment this runs in, and a key when that is counted.

A gateway that knows the key knows the budget, so no request gets through before the budget is heeded. Prints the
secret and the ids.
"""

import json
import os
import sys

import django


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from tenants import registry
    from tenants.models import Budget, Project, Tenant
    from tests.waiting import until

    slug, amount = sys.argv[1:]
    tenant = Tenant.objects.get(slug=slug)
    number = Project.objects.count()
    project = Project.objects.create(tenant=tenant, slug=f"budget-{number}", name=f"Budget {number}")
    budget = Budget(tenant=tenant, project=project, window="total", kind="money", amount=amount)
    budget.full_clean()
    budget.save()
    counted = Budget.objects.filter(pk=budget.pk, counted_at__isnull=False)
    until(counted.exists, "the budget is counted", every_s=0.1)
    issued = registry.issue_key(project, "drains the budget")
    print(json.dumps({"secret": issued.secret, "key_id": issued.key.pk, "budget_id": budget.pk}))  # noqa: T201


if __name__ == "__main__":
    main()
