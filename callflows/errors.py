"""What can go wrong when flows are published, rendered and exported: the hierarchy, and nothing else."""

from __future__ import annotations

from ivr_fallback.parity import Problem


class CallflowsError(Exception):
    """The root of this app's errors. The message is in words for the person who asked."""


class PublishRefusedError(CallflowsError):
    """The draft breaks rules that a published version must keep. Nothing was stored, and the draft is as it was."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class DraftChangedError(CallflowsError):
    """Somebody changed the draft while its audio was being rendered. Nothing was stored: publish again."""


class UploadRefusedError(CallflowsError):
    """An uploaded recording cannot be used; the message says what to save it as."""


class SilentSpeechError(CallflowsError):
    """The speech engine gave no sound for a text."""


class VersionIsFinalError(CallflowsError):
    """A published version was about to be changed or deleted."""


class LastResortRefusedError(CallflowsError):
    """No switch may have this as its dialplan of last resort. The file on the disk is as it was."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
