"""Whether the database was migrated beyond what this program knows, as in the middle of an upgrade.

Owns the question. What an older program writes then may be refused for columns that it does not fill.
"""

from __future__ import annotations

from functools import cache

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


class NewerSchemaError(DatabaseError):
    """The database is a newer program's. It passes when this one is replaced."""


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Those of this program: to be asked at its start, since an upgrade puts the newer ones' files into the same folder."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def refuse_newer_schema(known: frozenset[tuple[str, str]]) -> None:
    """Raises NewerSchemaError, and what the database raises."""
    applied = MigrationRecorder(connection).applied_migrations()
    apps = {app for app, _ in known}
    unknown = {key for key in applied if key[0] in apps} - known
    if unknown:
        app, name = max(unknown)
        raise NewerSchemaError(f"the database is of a newer version ({app} {name}): start this process again with that one")
