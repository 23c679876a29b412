"""What can be wrong with a published flow as a value."""


class DefinitionError(Exception):
    """A flow's definition cannot be used."""


class BadSnapshot(DefinitionError):  # noqa: N818 — the agreed name, imported by other apps
    """A snapshot is not readable: not JSON, a missing field, a wrong type, an unknown format."""
