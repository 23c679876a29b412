"""What can go wrong on an Event Socket connection, as one hierarchy."""


class EventSocketError(Exception):
    """The top of everything this package raises."""


class MalformedStream(EventSocketError):
    """The peer's bytes are not the Event Socket protocol. The connection cannot go on; others are untouched."""


class TooLarge(MalformedStream):
    """A header block or a body is beyond its limit."""


class UnsafeArgument(EventSocketError):
    """A command was refused before it was sent: a control character, or a value FreeSWITCH would expand."""


class UnexpectedReply(EventSocketError):
    """The peer replied to a command that was never sent."""


class UnexpectedMessage(EventSocketError):
    """The peer sent something that has no place in this state of the connection (``states.py``)."""


class ConnectionLost(EventSocketError):
    """The peer is gone or has said goodbye: nothing more can be asked of it."""
