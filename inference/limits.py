"""Bounds of what an operator may enter. They keep the arithmetic of a pool-hour inside its columns."""

LIFE_MONTHS_MAX = 600
DEVICES_MAX = 1_000_000
NS_PER_TOKEN_MAX = 1_000_000_000  # One device-second a token.
REQUESTS_RUNNING_MAX = 1_000_000
