"""All settings, flat, one after the other. .env.example says the same for operators; a test compares the two.

This module imports nothing of Django, so that a gateway process can read it without loading Django.
"""

from pathlib import Path

from config import addresses, embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent

# Where everything that lives on this machine is kept: embedded servers, journals, snapshot, logs.
TOKENWORKS_HOME = Path(env.text("TOKENWORKS_HOME", str(BASE_DIR / ".tokenworks"))).expanduser().resolve()

# Where the service listens. One port serves gateway and office, unless TOKENWORKS_PLANES says otherwise.
TOKENWORKS_HOST = env.text("TOKENWORKS_HOST", "127.0.0.1")
TOKENWORKS_PORT = env.integer("TOKENWORKS_PORT", 8000, minimum=1, maximum=65_535)

# What a web process serves: the gateway (/v1), the office (admin and /api), or both.
TOKENWORKS_PLANES = env.choice("TOKENWORKS_PLANES", "both", ("both", "gateway", "office"))

# The two servers. Unset, they are started from Python wheels under TOKENWORKS_HOME and reached by Unix socket.
DATABASE_URL = env.url("DATABASE_URL", embedded.database_url(TOKENWORKS_HOME), ("postgres", "postgresql"))
REDIS_URL = env.url("REDIS_URL", embedded.redis_url(TOKENWORKS_HOME), ("redis", "rediss", "unix"))

# Signs sessions and links. Kept under TOKENWORKS_HOME where both servers are embedded; else it must be given.
SECRET_KEY = env.text(
    "TOKENWORKS_SECRET_KEY",
    embedded.secret_key(TOKENWORKS_HOME) if embedded.is_embedded(DATABASE_URL, TOKENWORKS_HOME) else None,
    remedy="Give 50 or more random characters, the same to every process of the office.",
)
DEBUG = env.boolean("TOKENWORKS_DEBUG", False)
ALLOWED_HOSTS = env.text("TOKENWORKS_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

# The address that callers and people use, for links in documents and mails.
TOKENWORKS_PUBLIC_URL = env.url(
    "TOKENWORKS_PUBLIC_URL", f"http://{TOKENWORKS_HOST}:{TOKENWORKS_PORT}", ("http", "https")
)
CSRF_TRUSTED_ORIGINS = [TOKENWORKS_PUBLIC_URL]

# The journal: one a gateway process, named; synced to disk in groups, every so many milliseconds (0: each record).
TOKENWORKS_JOURNAL_NAME = env.text("TOKENWORKS_JOURNAL_NAME", "gateway-1")
TOKENWORKS_JOURNAL_FSYNC_MS = env.integer("TOKENWORKS_JOURNAL_FSYNC_MS", 50, minimum=0, maximum=10_000)
TOKENWORKS_JOURNAL_SEGMENT_BYTES_MAX = env.integer(
    "TOKENWORKS_JOURNAL_SEGMENT_BYTES_MAX", 64 * 2**20, minimum=4096, maximum=2**30
)

# The shipper: how many journal records one batch may hold, and how long it waits when there is nothing to ship.
TOKENWORKS_SHIP_BATCH_RECORDS_MAX = env.integer("TOKENWORKS_SHIP_BATCH_RECORDS_MAX", 50_000, minimum=1, maximum=100_000)
TOKENWORKS_SHIP_INTERVAL_MS = env.integer("TOKENWORKS_SHIP_INTERVAL_MS", 200, minimum=10, maximum=60_000)
# How late a journal may be shipped, in minutes, before operators are alerted.
TOKENWORKS_SHIPPING_LATE_MINUTES = env.integer("TOKENWORKS_SHIPPING_LATE_MINUTES", 5, minimum=1, maximum=1440)

# How many whole months of events are kept in the database besides the running one, 3 or more; 0: all of them, for ever.
TOKENWORKS_EVENT_MONTHS_KEPT = env.integer("TOKENWORKS_EVENT_MONTHS_KEPT", 0, minimum=0, maximum=1200)
if TOKENWORKS_EVENT_MONTHS_KEPT in (1, 2):
    raise env.BadSetting(
        "TOKENWORKS_EVENT_MONTHS_KEPT", "is too little: usage may be 35 days late", "Give 3 or more, or 0 for all."
    )
# Where months that are older are kept as Parquet: file:///folder or s3://bucket/prefix, with AWS_ variables as usual.
TOKENWORKS_ARCHIVE_URL = env.url(
    "TOKENWORKS_ARCHIVE_URL", (TOKENWORKS_HOME / "archive").as_uri(), ("file", "s3", "gs", "az")
)

# The ingest API: the longest body and the most events of one call, how far back a backfill reaches, how many of them
# one tenant may have open, and for how many days before somebody is told.
TOKENWORKS_INGEST_BODY_BYTES_MAX = env.integer(
    "TOKENWORKS_INGEST_BODY_BYTES_MAX", 10 * 2**20, minimum=1024, maximum=2**28
)
TOKENWORKS_INGEST_EVENTS_MAX = env.integer("TOKENWORKS_INGEST_EVENTS_MAX", 10_000, minimum=1, maximum=100_000)
TOKENWORKS_BACKFILL_DAYS_MAX = env.integer("TOKENWORKS_BACKFILL_DAYS_MAX", 800, minimum=35, maximum=7_320)
TOKENWORKS_BACKFILLS_OPEN_MAX = env.integer("TOKENWORKS_BACKFILLS_OPEN_MAX", 10, minimum=1, maximum=1_000)
TOKENWORKS_BACKFILL_OPEN_DAYS_MAX = env.integer("TOKENWORKS_BACKFILL_OPEN_DAYS_MAX", 7, minimum=1, maximum=366)

# Limits of the gateway, on everything that a caller or an upstream can make grow.
TOKENWORKS_BODY_BYTES_MAX = env.integer("TOKENWORKS_BODY_BYTES_MAX", 32 * 2**20, minimum=1024, maximum=2**30)
TOKENWORKS_EVENT_BYTES_MAX = env.integer("TOKENWORKS_EVENT_BYTES_MAX", 8 * 2**20, minimum=1024, maximum=2**28)
TOKENWORKS_ANSWER_BYTES_MAX = env.integer("TOKENWORKS_ANSWER_BYTES_MAX", 64 * 2**20, minimum=1024, maximum=2**30)
TOKENWORKS_REQUESTS_OPEN_MAX = env.integer("TOKENWORKS_REQUESTS_OPEN_MAX", 4096, minimum=1, maximum=100_000)
TOKENWORKS_REQUEST_TIMEOUT_S = env.integer("TOKENWORKS_REQUEST_TIMEOUT_S", 30, minimum=1, maximum=600)
TOKENWORKS_CONNECT_TIMEOUT_S = env.integer("TOKENWORKS_CONNECT_TIMEOUT_S", 5, minimum=1, maximum=120)
TOKENWORKS_FIRST_BYTE_TIMEOUT_S = env.integer("TOKENWORKS_FIRST_BYTE_TIMEOUT_S", 600, minimum=1, maximum=3600)
TOKENWORKS_IDLE_TIMEOUT_S = env.integer("TOKENWORKS_IDLE_TIMEOUT_S", 120, minimum=1, maximum=3600)

# How often a gateway asks each worker for its health and its load; 0: never.
TOKENWORKS_PROBE_INTERVAL_S = env.integer("TOKENWORKS_PROBE_INTERVAL_S", 5, minimum=0, maximum=3600)

# How many requests may be sent to a second worker, in percent of all, when the first one came to nothing.
TOKENWORKS_RETRY_PERCENT = env.integer("TOKENWORKS_RETRY_PERCENT", 20, minimum=0, maximum=100)

# How long a web process that is told to end lets its requests run on.
TOKENWORKS_GRACE_S = env.integer("TOKENWORKS_GRACE_S", 20, minimum=1, maximum=3600)

# How often a gateway compares its whole snapshot with the database, besides being told of changes.
TOKENWORKS_SNAPSHOT_CHECK_S = env.integer("TOKENWORKS_SNAPSHOT_CHECK_S", 30, minimum=1, maximum=3600)

# `GET /metrics` of a gateway and `GET /office/metrics`, for Prometheus: yes or no. They want the secret below.
TOKENWORKS_METRICS = env.boolean("TOKENWORKS_METRICS", False)
# What Prometheus sends as a bearer token to read the metrics.
TOKENWORKS_METRICS_SECRET = env.text(
    "TOKENWORKS_METRICS_SECRET",
    None if TOKENWORKS_METRICS else "",
    remedy="Give 32 or more random characters, or unset TOKENWORKS_METRICS.",
)
if TOKENWORKS_METRICS and len(TOKENWORKS_METRICS_SECRET) < 32:
    raise env.BadSetting("TOKENWORKS_METRICS_SECRET", "is short enough to be guessed", "Give 32 or more characters.")

# Where a gateway's OpenTelemetry spans go by OTLP over HTTP, as http://127.0.0.1:4318/v1/traces; empty: none are made.
TOKENWORKS_SPANS_URL = env.url("TOKENWORKS_SPANS_URL", "", ("http", "https"))
# How many requests become spans, in percent of those whose callers do not decide it by their traceparent.
TOKENWORKS_SPANS_PERCENT = env.integer("TOKENWORKS_SPANS_PERCENT", 100, minimum=0, maximum=100)

# How often each worker's engine is asked for its own token counters, in seconds; 0: never.
TOKENWORKS_ENGINE_READ_INTERVAL_S = env.integer("TOKENWORKS_ENGINE_READ_INTERVAL_S", 15, minimum=0, maximum=600)
# How many days these readings are kept; an hour that drifts is compared again for as long.
TOKENWORKS_ENGINE_READINGS_DAYS = env.integer("TOKENWORKS_ENGINE_READINGS_DAYS", 7, minimum=1, maximum=90)
# How far apart engines and events may be in an hour of a pool, in percent of the larger count.
TOKENWORKS_ENGINE_DRIFT_PERCENT = env.integer("TOKENWORKS_ENGINE_DRIFT_PERCENT", 2, minimum=0, maximum=100)
# How many tokens apart they may be whatever the percentage, for an hour with little traffic.
TOKENWORKS_ENGINE_DRIFT_TOKENS = env.integer("TOKENWORKS_ENGINE_DRIFT_TOKENS", 50_000, minimum=0, maximum=10**12)

# How many hours after the end of a tenant's month its draft takes in usage that comes late, where a run closes it.
TOKENWORKS_CLOSING_GRACE_HOURS = env.integer("TOKENWORKS_CLOSING_GRACE_HOURS", 24, minimum=0, maximum=720)
# A run parks an invoice for approval that is so many times the tenant's last, or more; 0: none.
TOKENWORKS_CLOSING_JUMP_TIMES = env.integer("TOKENWORKS_CLOSING_JUMP_TIMES", 10, minimum=0, maximum=1_000_000)
# But none that is over less than this, in whole units of its currency.
TOKENWORKS_CLOSING_JUMP_FROM = env.integer("TOKENWORKS_CLOSING_JUMP_FROM", 100, minimum=0, maximum=10**12)
# How many workers close months at once, while other tasks wait for the rest.
TOKENWORKS_CLOSING_AT_ONCE = env.integer("TOKENWORKS_CLOSING_AT_ONCE", 2, minimum=1, maximum=1_000)

# How long the validation of one document may take before it counts as not validated, in seconds.
TOKENWORKS_VALIDATION_LIMIT_S = env.integer("TOKENWORKS_VALIDATION_LIMIT_S", 60, minimum=1, maximum=600)

# Mail: console:// prints it, smtp://user:password@host:port sends it (smtps:// with TLS from the first byte).
TOKENWORKS_EMAIL_URL = env.url("TOKENWORKS_EMAIL_URL", "console://", ("console", "smtp", "smtps", "file"))
DEFAULT_FROM_EMAIL = env.text("TOKENWORKS_EMAIL_FROM", "billing@localhost")

# Who is mailed when an alert is opened: addresses with commas between them; empty: nobody.
TOKENWORKS_ALERT_EMAIL = env.text("TOKENWORKS_ALERT_EMAIL", "")

env.refuse_unknown()

# Below, nothing is read from the environment.

INSTALLED_APPS = [
    "config",
    "billing",
    "inference",
    "providers",
    "metering",
    "tenants",
    "pghistory",
    "pgtrigger",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "pghistory.middleware.HistoryMiddleware",  # Changes know the person who asked for them.
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# django-pghistory hands who it is to Postgres; the trigger is ours, and migrations are left as Django makes them.
PGTRIGGER_MODEL_META = PGTRIGGER_SCHEMA_EDITOR = False
ROOT_URLCONF = "config.urls"
DATABASES = {"default": addresses.django_database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = TOKENWORKS_HOME / "static"
SERVESTATIC_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TOKENWORKS_PUBLIC_URL.startswith("https://")

globals().update(addresses.django_email(TOKENWORKS_EMAIL_URL))  # EMAIL_BACKEND and what goes with it.

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.ByRole"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.CursorPagination",
    "PAGE_SIZE": 100,
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tokenworks office API",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # Names for choices that stand in fields of several names, or in several tables under one.
    "ENUM_NAME_OVERRIDES": {
        "TaxCategory": "billing.models.TaxCategory",
        "InvoiceKind": "billing.models.Invoice.Kind",
        "InvoiceStatus": "billing.models.Invoice.Status",
        "SettlementKind": "billing.models.Settlement.Kind",
        "WalletCreditKind": "billing.models.WalletCredit.Kind",
    },
}
UNFOLD = {
    "SITE_TITLE": "Tokenworks",
    "SITE_HEADER": "Tokenworks",
    "SITE_SYMBOL": "factory",
    "ENVIRONMENT": "metering.admin.open_alerts",  # The badge at the top of each page.
}

# One line an entry, to standard error, where the supervisor or the container's engine keeps it.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "httpx2": {"level": "WARNING"},  # It would log each request of a replay.
        # These two would log each task twice, the folding of nothing every other second included.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

CELERY_BROKER_URL = CELERY_RESULT_BACKEND = addresses.celery_url(REDIS_URL)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True  # A task whose worker was killed runs again; every task of ours may run twice.
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_TIMEZONE = "UTC"
