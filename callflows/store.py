"""Published flows where calls can use them: in memory, and on the switch's and the bridge's own disk.

Owns the prompt folder, its manifest, the snapshot file and :class:`FlowStore`. A call never waits for the database:
it reads the store's memory, and a bridge can start from the snapshot file alone. Files appear whole or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, connections
from django.db.models import Count, Max
from django.db.models.functions import Length
from django.utils import timezone

from callflows.definition.errors import BadSnapshot
from callflows.definition.files import missing_files
from callflows.definition.flow import FlowVersion, Snapshot, decode_snapshot, encode_snapshot
from callflows.definition.writing import write_whole
from callflows.models import FlowVersion as VersionRow
from callflows.models import Prompt

log = structlog.get_logger(__name__)

MANIFEST = "manifest.json"
# How soon a published version reaches new calls; one indexed query each time.
REFRESH_S = 2.0
# How long a prompt that was deleted from the disk may stay away; a look is one listing of the folder.
MEND_S = 30.0
# A version stays available this long after its successor: no call lasts longer, and a call keeps the one it began with.
KEEP_EARLIER = timedelta(hours=24)
# Enough prompts to be read from the database at once without holding all of them in memory.
BATCH = 50


def database_snapshot(now: datetime | None = None) -> Snapshot:
    """Every flow's newest version first, then earlier ones that live calls may still use. Asks the database."""
    cutoff = (now or timezone.now()) - KEEP_EARLIER
    newest: set[int] = set()
    earlier: set[int] = set()
    successor_at: dict[int, datetime] = {}
    stamps = VersionRow.objects.order_by("flow_id", "-number").values_list("pk", "flow_id", "published_at")
    for pk, flow_id, published_at in stamps:
        if flow_id not in successor_at:
            newest.add(pk)
        elif successor_at[flow_id] >= cutoff:
            earlier.add(pk)
        successor_at[flow_id] = published_at
    rows = VersionRow.objects.filter(pk__in=newest | earlier).order_by("flow__slug", "-number")
    versions = [(row.pk, _readable(row)) for row in rows]
    return Snapshot(
        (
            *(version for pk, version in versions if version is not None and pk in newest),
            *(version for pk, version in versions if version is not None and pk in earlier),
        )
    )


def _readable(row: VersionRow) -> FlowVersion | None:
    """One unreadable version (of a newer program, say) must not take the others away."""
    try:
        return row.definition
    except BadSnapshot as error:
        log.error("version_unreadable", flow_id=row.flow_id, number=row.number, error=str(error))
        return None


def sync_prompts(folder: Path) -> int:
    """Write the prompts that the folder lacks, and its manifest. Returns how many were written; deletes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    present = _sizes(folder)
    rows = list(Prompt.objects.annotate(size=Length("wav")).order_by("pk").values_list("pk", "sha256", "text", "size"))
    wanted = [pk for pk, sha256, _, size in rows if present.get(f"{sha256}.wav") != size]
    for start in range(0, len(wanted), BATCH):
        for prompt in Prompt.objects.filter(pk__in=wanted[start : start + BATCH]):
            # Not forced to disk: a file that a power cut left short has another size, and is written again.
            write_whole(folder / prompt.file, bytes(prompt.wav), durable=False)
    manifest = {f"{sha256}.wav": {"text": text} for _, sha256, text, _ in rows}
    encoded = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode()
    if wanted or not (folder / MANIFEST).exists() or (folder / MANIFEST).read_bytes() != encoded:
        write_whole(folder / MANIFEST, encoded)
    return len(wanted)


def _sizes(folder: Path) -> dict[str, int]:
    """Of what lies there. What another process is writing has another name a moment later."""
    found = {}
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_size
    return found


def export(prompt_dir: Path, snapshot_path: Path) -> tuple[Snapshot, int]:
    """Bring a switch's disk up to date from the database: prompts first, then the snapshot that names them."""
    written = sync_prompts(prompt_dir)
    snapshot = database_snapshot()
    write_snapshot(snapshot_path, snapshot)
    return snapshot, written


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_snapshot(snapshot))


class FlowStore:
    """The published flows of one process. ``current`` is safe from any thread or task and never waits.

    With a ``prompt_dir``, prompts that a new version needs are written there before the version is used.
    """

    def __init__(self, path: Path, prompt_dir: Path | None = None) -> None:
        self._path = path
        self._prompt_dir = prompt_dir
        self._snapshot = Snapshot(())
        self._seen: tuple[int, int] | None = None
        self._is_write_owed = False
        self._mended_at = float("-inf")
        self.missing_prompts: tuple[str, ...] = ()
        """What the last look found missing and could not write again; a call that needs one falls to the next thing down."""

    def current(self) -> Snapshot:
        return self._snapshot

    def load_disk(self) -> bool:
        """Use the snapshot file; False when there is none. Raises :class:`BadSnapshot` and OSError."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return False
        self._snapshot = decode_snapshot(data)
        return True

    def refresh_from_database(self) -> bool:
        """Use what the database holds, if that changed since the last time, and keep it on disk. Blocks.

        Raises the database's errors and OSError; the snapshot in memory is then as it was, or new and its file still owed: that
        is written at a later call.
        """
        totals = VersionRow.objects.aggregate(newest=Max("pk"), count=Count("pk"))
        seen = (totals["newest"] or 0, totals["count"])
        if seen == self._seen:
            self._write_if_owed()
            return False
        snapshot = database_snapshot()
        if not snapshot.flows and self._snapshot.flows:
            # Versions are never deleted, so this is another, empty database: callers keep the flows that worked.
            log.error("database_has_no_flows", kept=len(self._snapshot.flows))
            self._seen = seen
            return False
        if self._prompt_dir is not None:
            sync_prompts(self._prompt_dir)
        changed = snapshot != self._snapshot
        self._snapshot = snapshot
        self._is_write_owed = self._is_write_owed or changed or not self._path.exists()
        self._seen = seen
        self._write_if_owed()
        return changed

    def _write_if_owed(self) -> None:
        if self._is_write_owed:
            write_snapshot(self._path, self._snapshot)
            self._is_write_owed = False

    def mend_prompts(self) -> None:
        """Write prompts again that have vanished from the folder or hold no sound, before a call needs them. Blocks.

        Raises the database's errors and OSError.
        """
        if self._prompt_dir is None:
            return
        found = self._missing(self._prompt_dir)
        if found:
            try:
                log.warning("prompts_missing", count=len(found), first=found[0], written=sync_prompts(self._prompt_dir))
            finally:
                found = self._missing(self._prompt_dir)
                if found and found != self.missing_prompts:
                    log.error("prompts_still_missing", count=len(found), first=found[0])
                self.missing_prompts = found
        else:
            self.missing_prompts = found

    def _missing(self, folder: Path) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line for flow in self._snapshot.flows for line in missing_files(flow, folder)))

    async def run(self, every_s: float = REFRESH_S) -> None:
        """Refresh for ever, in a thread of its own; errors are logged when they begin and when they end. Cancel it to
        stop; a refresh that is under way is waited for."""
        failing = False
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="flow-store") as executor:
            loop = asyncio.get_running_loop()
            try:
                while True:
                    error = await loop.run_in_executor(executor, self._refresh_in_thread)
                    if error is not None and not failing:
                        log.warning("flows_not_refreshed", error=error)
                    elif error is None and failing:
                        log.info("flows_refreshed_again")
                    failing = error is not None
                    await asyncio.sleep(every_s)
            finally:
                executor.submit(connections.close_all)

    def _refresh_in_thread(self) -> str | None:
        close_old_connections()
        try:
            if self.refresh_from_database():
                log.info("flows_changed", versions=len(self._snapshot.flows))
            if time.monotonic() >= self._mended_at + MEND_S:
                self._mended_at = time.monotonic()
                self.mend_prompts()
        except (DatabaseError, OSError) as error:
            connection.close()
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # Supervisor of the refresh: calls go on with the flows in memory.
            log.exception("flow_refresh_failed")
            return f"{type(error).__name__}: {error}"
        return None
