"""Says whether the office can work: it needs its database and its queue."""

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

TIMEOUT_S = 2


def health(request: HttpRequest) -> JsonResponse:
    """200 where both servers answer, else 503 with the one that does not."""
    problems = {name: problem for name, check in CHECKS.items() if (problem := check())}
    return JsonResponse({"healthy": not problems, "problems": problems}, status=503 if problems else 200)


def _database() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "does not answer"
    return None


def _queue() -> str | None:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S) as client:
            client.ping()
    except redis.RedisError:
        return "does not answer"
    return None


CHECKS = {"database": _database, "queue": _queue}
