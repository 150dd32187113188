import socket

import pytest

from config import ports
from config.ports import HIGHEST, LOWEST, NoFreePort, free_ports


def test_free_ports_differ_and_can_be_listened_on() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(LOWEST <= port <= HIGHEST for port in found)
    socket.create_server(("127.0.0.1", found[0])).close()


def test_where_no_port_is_free_it_says_which_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(ports, "LOWEST", listener.getsockname()[1])
        monkeypatch.setattr(ports, "HIGHEST", listener.getsockname()[1])
        with pytest.raises(NoFreePort, match=r"1000 ports from \d+ to \d+ were tried"):
            free_ports(1)
