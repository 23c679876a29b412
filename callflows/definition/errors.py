"""What can be wrong with a published flow as a value, and with any bytes that are to be one."""

import msgspec

# What msgspec raises for bytes that it cannot read: beside its own errors Python's, for letters that are no UTF-8 and for
# values nested deeper than it goes. What comes from outside may be all of these.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class DefinitionError(Exception):
    """A flow's definition cannot be used."""


class BadSnapshot(DefinitionError):
    """A snapshot is not readable: not JSON, a missing field, a wrong type, an unknown format."""
