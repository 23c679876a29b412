"""One protection taken away: a patch of the sources, and what must fail with it. Owns the form and how a patch is applied."""

from __future__ import annotations

from dataclasses import dataclass

# Where most protections of a call are, and their tests.
CALL = "esl_bridge/calls/call.py"
TALK = "esl_bridge/calls/talk.py"
LEAVING = "esl_bridge/calls/leaving.py"
OFFERED = "esl_bridge/calls/offered.py"
SESSION = "esl_bridge/session.py"
OF_CALL = "tests/esl_bridge/calls/test_call.py::test_"
OF_BRIDGE = "tests/esl_bridge/test_bridge.py::test_"
OF_OFFERS = "tests/esl_bridge/test_offers.py::test_"


class PatchError(AssertionError):
    """The text of a patch is not in its file, or more than once."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """``caught_by``: tests as pytest names them, at least one of which must fail with ``text`` replaced by ``instead``."""

    name: str
    path: str
    text: str
    instead: str
    caught_by: tuple[str, ...]

    def applied(self, source: str) -> str:
        """Raises :class:`PatchError` unless the text is there exactly once, and the patch changes it."""
        found = source.count(self.text)
        if found != 1 or self.text == self.instead:
            raise PatchError(f"{self.name}: its text is {found} times in {self.path}, must be once:\n{self.text}")
        return source.replace(self.text, self.instead)
