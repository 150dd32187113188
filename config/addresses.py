"""Turns addresses (`postgres://`, `redis://`, `unix://`, `smtp://`) into what Django and Celery want to hear."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def django_database(url: str) -> dict[str, Any]:
    """A Django `DATABASES` entry; a Unix socket's folder is given as `?host=/folder`."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": query,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,  # Postgres may have been restarted since the last task.
    }


def celery_url(redis_url: str) -> str:
    """Celery says `redis+socket://` where redis-py says `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def django_email(url: str) -> dict[str, Any]:
    """Django's `EMAIL_*` settings for an address: `console://`, `file:///folder`, `smtp://` or `smtps://`."""
    parts = urlsplit(url)
    if parts.scheme == "console":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme == "file":
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": parts.path}
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname or "localhost",
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_TIMEOUT": 30,
    }
