"""What can be wrong with an operator's order to a circuit."""


class CircuitError(Exception):
    """An order to a circuit could not be carried out."""


class UnknownCircuitError(CircuitError):
    """No circuit and no stage has this name; the message lists those that exist."""


class BadHoldError(CircuitError):
    """The order itself makes no sense: not a forced state, or a time in the past."""


class CircuitsUnreachableError(CircuitError):
    """The durable Redis did not answer, so nothing was stored."""
