"""What goes wrong with an upstream.

UpstreamTrouble
├── ConnectFailed        nothing was sent: another worker may be tried
│   └── NoConnectionFree
├── UpstreamTimeout
├── UpstreamCut          the connection ended before the answer did
├── UpstreamGarbled      what came is not HTTP
├── AnswerTooLarge       the head or the whole answer is over its limit
└── Abandoned            we ended it ourselves: the caller had left
"""


class UpstreamTrouble(Exception):
    """The upstream did not answer as it should."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class ConnectFailed(UpstreamTrouble):
    """No connection to the upstream could be made; nothing was sent."""


class NoConnectionFree(ConnectFailed):
    """All connections to this upstream that we allow ourselves are busy."""


class UpstreamTimeout(UpstreamTrouble):
    """The upstream stayed silent for too long."""


class UpstreamCut(UpstreamTrouble):
    """The upstream ended the connection before its answer was whole."""


class UpstreamGarbled(UpstreamTrouble):
    """The upstream's answer is not HTTP."""


class AnswerTooLarge(UpstreamTrouble):
    """The upstream's answer is over the limit."""


class Abandoned(UpstreamTrouble):
    """The answer is not wanted any more."""
