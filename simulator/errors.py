"""What can go wrong in the simulator itself. Failures that FreeSWITCH would report are answers, not exceptions."""

from __future__ import annotations


class SimulatorError(Exception):
    """The simulator cannot do what it was asked to."""


class DialplanError(SimulatorError):
    """The dialplan file cannot be read or does not mean anything."""


class WireError(SimulatorError):
    """The peer broke the Event Socket's framing; its connection is closed."""


class ScenarioError(SimulatorError):
    """No such scenario, or a mix that adds up to nothing."""
