"""What can be wrong with a published flow as a value."""


class DefinitionError(Exception):
    """A flow's definition cannot be used."""


class BadSnapshot(DefinitionError):
    """A snapshot is not readable: not JSON, a missing field, a wrong type, an unknown format."""
