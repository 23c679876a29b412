"""One protection taken away: a patch of the sources, and what must fail with it. Owns the form and how a patch is applied."""

from __future__ import annotations

from dataclasses import dataclass


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
