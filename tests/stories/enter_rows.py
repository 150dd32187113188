"""Enters the demo's rows into the copy whose environment this runs in; prints its tenants and models as JSON."""

import json
import os
import sys

import django


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from config.demo.rows import POOLS, lay_out

    tenants = lay_out(json.loads(sys.argv[1]))
    keys = [{"slug": tenant.tenant.slug, "secret": tenant.secret} for tenant in tenants]
    print(json.dumps({"tenants": keys, "models": [pool.offering for pool in POOLS]}))  # noqa: T201


if __name__ == "__main__":
    main()
