"""Pushes the live page to its viewers: one coalescer per console process, however many nudges and viewers there are.

Owns when to render and whom to send it to; what is shown is ``console/regions.py``'s. Nobody connected: no task runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Protocol

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from console.partials import follow
from console.regions import Sight, fingerprint, render_all

log = structlog.get_logger(__name__)

GROUP = "live"
# An eye takes four changes a second as at once; at 200 events a second a render for each would fill a core.
COALESCE_S = 0.25
# Circuits, workers and faults change in Redis and in files without a nudge; nudges may be lost in an outage.
CHECK_S = 1.0
# So long after the last message, with nothing to show, a page is told that its figures are of now. live.js calls them old after
# three times that without a word: then the console, the network or a question to the database stands still.
IDLE_S = 5.0
LAYER_RETRY_S = 1.0
# Whoever logged out, or lost a permission, sees no more calls after this long; two small queries for each viewer.
SIGHT_CHECK_S = 20.0
# A console that shuts down does not wait for a Redis that is away.
LAYER_LEAVE_S = 1.0


class Viewer(Protocol):
    async def show(self, text: str) -> None: ...

    async def sight(self) -> Sight | None:
        """What it may see now; None: nothing any more, and it closes itself."""


class Coalescer:
    """Viewers join with what they may see; all of the same sight get the same text."""

    def __init__(self) -> None:
        self._viewers: dict[Viewer, Sight] = {}
        self._dirty = asyncio.Event()
        self._is_pushing = False
        self._pushed_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None

    async def join(self, viewer: Viewer, sight: Sight) -> None:
        """The viewer gets the whole page's regions within the next render."""
        self._viewers[viewer] = sight
        if self._task is None:
            self._dirty = asyncio.Event()
            self._is_pushing = False
            self._task = asyncio.create_task(self._run())
        self._dirty.set()

    async def leave(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer, None)
        if not self._viewers and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._check())
            tasks.create_task(follow(self._dirty.set))
            tasks.create_task(self._push())
            tasks.create_task(self._check_sights())

    async def _push(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._is_pushing = True
            viewers = dict(self._viewers)
            texts = await self._texts(set(viewers.values()))
            await asyncio.gather(*(self._show(viewer, texts[sight]) for viewer, sight in viewers.items()))
            self._is_pushing, self._pushed_at = False, time.monotonic()
            await asyncio.sleep(COALESCE_S)

    async def _texts(self, sights: set[Sight]) -> dict[Sight, str]:
        now_ms = int(time.time() * 1000)
        try:
            rendered = await database_sync_to_async(render_all)(sights)
        except Exception:  # The viewers are told, and the next nudge or check tries again.
            log.exception("live_page_not_rendered")
            problem = json.dumps({"problem": "The figures cannot be read just now", "now_ms": now_ms})
            return dict.fromkeys(sights, problem)
        return {sight: json.dumps({"regions": regions, "now_ms": now_ms}) for sight, regions in rendered.items()}

    async def _say_current(self) -> None:
        """That nothing has changed: for whoever has just looked. Not while a render is due, for that will tell, or hang."""
        if self._dirty.is_set() or self._is_pushing or time.monotonic() - self._pushed_at < IDLE_S:
            return
        text = json.dumps({"now_ms": int(time.time() * 1000)})
        await asyncio.gather(*(self._show(viewer, text) for viewer in list(self._viewers)))
        self._pushed_at = time.monotonic()

    async def _show(self, viewer: Viewer, text: str) -> None:
        try:
            await viewer.show(text)
        except Exception as error:  # noqa: BLE001 — one viewer's broken connection is not the others' matter
            log.info("live_viewer_unreachable", error=repr(error))

    async def _listen(self) -> None:
        """Hears the recorder's nudges. Without Redis the check of every second still shows what changed."""
        layer = get_channel_layer()
        while True:
            channel = ""
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._dirty.set()
            except Exception as error:  # noqa: BLE001 — whatever the layer's Redis does, the page goes on
                log.warning("live_nudges_not_heard", error=repr(error))
                await asyncio.sleep(LAYER_RETRY_S)
            finally:
                if channel:
                    with contextlib.suppress(Exception):
                        await asyncio.wait_for(layer.group_discard(GROUP, channel), LAYER_LEAVE_S)

    async def _check(self) -> None:
        before: object = None
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                now = await database_sync_to_async(fingerprint)()
            except Exception:  # noqa: BLE001 — the render that follows tells the viewers
                now = None
            if now is None or now != before:
                self._dirty.set()
            else:
                await self._say_current()
            before = now

    async def _check_sights(self) -> None:
        while True:
            await asyncio.sleep(SIGHT_CHECK_S)
            for viewer in list(self._viewers):
                try:
                    sight = await viewer.sight()
                except Exception as error:  # noqa: BLE001 — a database that is away is asked again next time
                    log.warning("live_sight_not_checked", error=repr(error))
                    continue
                if sight is None:
                    self._viewers.pop(viewer, None)
                elif viewer in self._viewers:
                    self._viewers[viewer] = sight


coalescer = Coalescer()
