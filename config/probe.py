"""Asks a web process whether it can work. As a health check of containers: `python -m config.probe URL`, 0 or 1."""

import http.client
import sys
from urllib.parse import urlsplit


def answers(url: str, *, timeout_s: int = 2) -> bool:
    """Whether a GET of this http address is answered with a status below 500."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
