"""What the two events of a running application say of it.

Owns the headers, made only for an event that somebody listens to: of a dialplan's dozen applications nobody hears.
"""

from __future__ import annotations

import uuid

from simulator.channel import Channel
from simulator.events import Headers


class Execution:
    """``event_uuid`` is the app's own name for it; without one it gets a name when first asked for it."""

    __slots__ = ("_application", "_argument", "_channel", "_uuid")

    def __init__(self, channel: Channel, application: str, argument: str, event_uuid: str) -> None:
        self._channel = channel
        self._application = application
        self._argument = argument
        self._uuid = event_uuid

    def begun(self) -> Headers:
        return self._headers()

    def over(self) -> Headers:
        response = self._channel.variables.get("current_application_response", "_none_")
        return self._headers(("Application-Response", response))

    def _headers(self, *response: tuple[str, str]) -> Headers:
        self._uuid = self._uuid or str(uuid.uuid4())
        about = [("Application", self._application)]
        if self._argument:
            about.append(("Application-Data", self._argument))
        return (*about, *response, ("Application-UUID", self._uuid))
