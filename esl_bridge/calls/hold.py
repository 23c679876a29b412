"""A caller whose telephone holds us hears nothing: what waits until they are back, and what is then said again.

Owns both, and which words were being said. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from esl_bridge.calls.dialogue import DialogueStep
from ivr_fallback.steps import ChooseIntent, DropIntent, ForgetSlots, KeepSlot, Say

# What is known at once, also in a hold, whatever is said or done about it later.
LEARNT = (ChooseIntent, KeepSlot, ForgetSlots, DropIntent)


class Hold:
    def __init__(self) -> None:
        self.is_on = False
        self._saying: list[DialogueStep] = []
        self._afterwards: list[DialogueStep] = []

    def saying(self, steps: Sequence[DialogueStep], *, adds: bool) -> None:
        """What is said from here on. ``adds``: behind something that is still being said."""
        words = [step for step in steps if isinstance(step, Say)]
        if words:
            self._saying = [*(self._saying if adds else []), *words]

    def answered(self) -> None:
        """What was asked is not asked again, even while nothing else has been said yet."""
        self._saying = []

    def begin(self, *, interrupts: bool) -> None:
        """``interrupts``: what was being said, or asked, is said again."""
        self.is_on = True
        if interrupts:
            self._afterwards = list(self._saying)

    def put_off(self, steps: Sequence[DialogueStep]) -> list[DialogueStep]:
        """Those of ``steps`` that are carried out all the same, and change nothing for the caller."""
        self._afterwards += [step for step in steps if not isinstance(step, LEARNT)]
        return [step for step in steps if isinstance(step, LEARNT)]

    def forget(self) -> None:
        """What waits is not wanted any more: something else has been decided."""
        self._afterwards = []

    def end(self) -> list[DialogueStep]:
        self.is_on = False
        steps, self._afterwards = self._afterwards, []
        return steps
