"""Why a question to the switch's control port has no answer. Each text is for an operator."""

from __future__ import annotations


class SwitchControlError(Exception):
    """The switch was not asked, did not answer, or said no. The text is for an operator."""


class SwitchAwayError(SwitchControlError):
    """No FreeSWITCH is there."""


class NoAnswerError(SwitchAwayError):
    """It took the question and did not answer in time. An order may have been carried out: ask before repeating it."""


class WrongPasswordError(SwitchControlError):
    """FreeSWITCH is there and does not accept the password. Trying again does not help."""


class AccessListError(SwitchControlError):
    """FreeSWITCH is there and does not let this machine's address in. Trying again does not help."""


class ControlUnavailableError(SwitchControlError):
    """python-ESL is not installed here: nothing is known of the switch."""


class RefusedError(SwitchControlError):
    """The switch answered ``-ERR`` or ``-USAGE``."""


class UnknownCommandError(RefusedError):
    """It has no such command: an older FreeSWITCH, one without the module, or an older simulator. It cannot be asked this."""
