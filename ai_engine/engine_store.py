"""The engines of one process: from LIFELINE_ENGINES, or from the rows of the admin by way of a file on its own disk.

Owns the file, reading the rows into it, and telling a running process of changes. No call waits for the database: what
serves is in memory, and a process can start from the file alone. What cannot be used never replaces what works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, connections

from ai_engine.engines.config import EngineConfig, local_engines, setting_engines
from ai_engine.engines.rows import EngineRows, checked, decode_rows, encode_rows
from ai_engine.errors import BadEngineConfigError
from ai_engine.models import engine_rows
from callflows.definition.writing import write_whole

log = structlog.get_logger(__name__)

# How soon a saved row reaches workers and bridges; one query of a handful of rows each time, as for flows.
REFRESH_S = 2.0
ROWS = "the engines in the admin"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What this installation's settings say about engines."""

    setting: str
    local: tuple[EngineConfig, ...]
    allowed_hosts: tuple[str, ...]
    path: Path

    @property
    def by_setting(self) -> bool:
        return bool(self.setting.strip())


def engine_settings() -> EngineSettings:
    host, stt_port = settings.LIFELINE_ENGINE_HOST, settings.LIFELINE_ENGINE_STT_PORT
    return EngineSettings(
        settings.LIFELINE_ENGINES,
        local_engines(host, stt_port, settings.LIFELINE_ENGINE_HTTP_PORT),
        tuple(settings.LIFELINE_ENGINE_HOSTS),
        settings.LIFELINE_ENGINE_SNAPSHOT,
    )


def stored_engines() -> tuple[EngineConfig, ...]:
    """The engines in force by setting or file, without the database: for commands and orders that must work without it.

    Raises :class:`BadEngineConfigError` for a wrong setting only; a file that cannot be read counts as none.
    """
    known = engine_settings()
    if known.by_setting:
        return setting_engines(known.setting)
    try:
        return decode_rows(known.path.read_bytes()).serving(known.local)
    except (BadEngineConfigError, OSError):
        return known.local


def shown_engines() -> EngineRows:
    """What serves, and what is disabled, for people to look at. Asks the database; raises its errors.

    What cannot be used is not shown here: the admin says so beside the rows, and a worker at its start.
    """
    known = engine_settings()
    try:
        if known.by_setting:
            return EngineRows(setting_engines(known.setting))
        rows = engine_rows()
    except BadEngineConfigError:
        return EngineRows()
    except ValueError:
        return EngineRows(stored_engines())
    return EngineRows(rows.serving(known.local), rows.disabled)


def export_rows(path: Path) -> None:
    """Bring the file up to date with the rows. Raises the database's errors, OSError, and BadEngineConfigError when the
    rows cannot be used (the file is then left as it was)."""
    rows = engine_rows()
    checked(rows.enabled, ROWS, settings.LIFELINE_ENGINE_HOSTS)
    write_rows(path, rows)


def write_rows(path: Path, rows: EngineRows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_rows(rows))


class EngineStore:
    """``current`` never waits. ``problem`` is why the newest rows are not in use here, empty when they are; ``refused``
    the part of it that this process itself found (a secret that is not set here)."""

    def __init__(self, known: EngineSettings) -> None:
        self._known = known
        self._rows: EngineRows | None = None
        self._engines = known.local
        self.refused = ""
        self.problem = ""

    @property
    def by_setting(self) -> bool:
        return self._known.by_setting

    def current(self) -> tuple[EngineConfig, ...]:
        return self._engines

    def load(self) -> None:
        """For a start: the setting, else the file, else the local engine. Asks no database.

        Raises :class:`BadEngineConfigError` for a wrong setting, which only whoever starts the process can mend.
        """
        known = self._known
        if known.by_setting:
            self._engines = checked(setting_engines(known.setting), "LIFELINE_ENGINES", known.allowed_hosts)
            return
        try:
            rows = decode_rows(known.path.read_bytes())
            self._engines, self._rows = self._serving(rows), rows
        except FileNotFoundError:
            log.info("no_engine_rows_yet", path=str(known.path))
        except (BadEngineConfigError, OSError) as error:
            self.problem = str(error)
            log.error("engine_rows_unreadable", path=str(known.path), error=str(error))

    def refresh_from_database(self) -> bool:
        """Whether other engines serve now; keeps changed rows on disk. Blocks.

        Raises the database's errors, OSError, and ValueError or BadEngineConfigError for rows that cannot be used; what
        serves, and the file, are then as they were.
        """
        rows = engine_rows()
        if rows == self._rows:
            return False
        before, engines = self._engines, self._serving(rows)
        write_rows(self._known.path, rows)
        self._rows, self._engines = rows, engines
        return engines != before

    async def run(
        self,
        apply: Callable[[Sequence[EngineConfig]], None],
        every_s: float = REFRESH_S,
        prepare: Callable[[Sequence[EngineConfig]], None] = lambda _engines: None,
    ) -> None:
        """Until cancelled: ``apply`` is called with the engines that serve from now on, from the loop, whenever they
        have changed; before that ``prepare``, from the thread, for what would hold up the loop. When ``apply`` raises
        BadEngineConfigError (a secret is not set here), the earlier ones go on serving and it is asked again at the next
        change. Returns only by being cancelled, also when the setting leaves it idle.
        """
        if self._known.by_setting:
            await asyncio.Event().wait()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine-store") as executor:
            loop = asyncio.get_running_loop()
            try:
                while True:
                    changed, problem = await loop.run_in_executor(executor, self._refresh_in_thread)
                    if changed:
                        await loop.run_in_executor(executor, prepare, self._engines)
                        self.refused = self._apply(apply)
                    self._note(problem or self.refused)
                    await asyncio.sleep(every_s)
            finally:
                executor.submit(connections.close_all)

    def _serving(self, rows: EngineRows) -> tuple[EngineConfig, ...]:
        known = self._known
        checked(rows.enabled, ROWS, known.allowed_hosts)
        return checked(rows.serving(known.local), ROWS, ())

    def _apply(self, apply: Callable[[Sequence[EngineConfig]], None]) -> str:
        try:
            apply(self._engines)
        except BadEngineConfigError as error:
            return str(error)
        except Exception as error:  # Supervisor of the change: what serves goes on serving.
            log.exception("engine_change_failed")
            return f"{type(error).__name__}: {error}"
        log.info("engines_changed", engines=[one.name for one in self._engines])
        return ""

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("engines_kept_as_they_were", error=problem)
        elif self.problem and not problem:
            log.info("engines_usable_again")
        self.problem = problem

    def _refresh_in_thread(self) -> tuple[bool, str]:
        """Changed or not, and why the rows could not be read or used."""
        close_old_connections()
        try:
            return self.refresh_from_database(), ""
        except (BadEngineConfigError, ValueError) as error:
            return False, str(error)
        except (DatabaseError, OSError) as error:
            connection.close()
            return False, f"the rows were not read: {type(error).__name__}: {error}"
        except Exception as error:  # Supervisor of the refresh: calls go on with the engines in memory.
            log.exception("engine_refresh_failed")
            return False, f"{type(error).__name__}: {error}"
