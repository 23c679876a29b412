"""Whether the database was migrated beyond what this program knows, as in the middle of an upgrade.

Owns the question. What an older program writes then may be refused for columns that it does not fill.
"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader


class NewerSchemaError(DatabaseError):
    """The database is a newer program's. It passes when this one is replaced."""


def refuse_newer_schema() -> None:
    """Raises NewerSchemaError, and what the database raises."""
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    unknown = [key for key in loader.applied_migrations if key[0] in loader.migrated_apps and key not in loader.disk_migrations]
    if unknown:
        app, name = max(unknown)
        raise NewerSchemaError(f"the database is of a newer version ({app} {name}): start this process again with that one")
