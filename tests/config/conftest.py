import pytest

from config.ports import free_ports


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    return free_ports(1)[0]
