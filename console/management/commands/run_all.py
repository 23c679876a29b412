"""``manage.py run_all``: the whole product on this machine, as ``make run`` starts it.

Owns the translation of settings into the launcher's values, and nothing of how processes are run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.environment import Environment, is_playable, not_playable
from console.launcher import ports
from console.launcher.data_folder import ADMIN_PASSWORD, DataFolder
from console.launcher.errors import StartError
from console.launcher.launcher import SOCKET_NAME, Launcher, Scaling, Stack
from console.launcher.parts import Part, choose, in_fleet
from console.launcher.scaling import Limits, load_by
from console.launcher.stack_plan import FIRST_BRIDGE, bridge_list, lifeline_parts, manage, redis_parts, state_of, workers


class Command(BaseCommand):
    help = "Starts every process of Lifeline with an embedded Redis, and keeps them running until Ctrl-C."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with DataFolder(settings.LIFELINE_DATA_DIR) as folder:
                asyncio.run(self._run(folder))
        except StartError as error:
            raise CommandError(str(error)) from error

    async def _run(self, folder: DataFolder) -> None:
        await Launcher(folder, plan(folder), sys.stdout).run()


def plan(folder: DataFolder) -> Stack:
    """Everything that can be refused is refused here, before the first process starts."""
    if not is_playable(folder.path):  # Also with prompts elsewhere: the simulator writes there what it has to play.
        raise StartError(not_playable(folder.path))
    listeners = ports.assign(_listeners(), settings.LIFELINE_RUN_PORTS_FROM)
    runtime = folder.make_runtime()
    own_secrets = folder.secrets()
    host = settings.LIFELINE_HOST_NAME
    admin_password = own_secrets.pop(ADMIN_PASSWORD)
    servers, redis_urls = redis_parts(
        runtime,
        folder.path,
        durable="LIFELINE_REDIS_DURABLE_URL" not in os.environ,
        volatile="LIFELINE_REDIS_VOLATILE_URL" not in os.environ,
    )
    made_here = {
        "LIFELINE_DEMO": "true",
        **own_secrets,
        **redis_urls,
        "LIFELINE_RUN_SOCKET": str(runtime / SOCKET_NAME),
        "LIFELINE_BRIDGES": bridge_list(listeners),
        **({"LIFELINE_BRIDGE_ID": in_fleet(host, FIRST_BRIDGE)} if host else {}),
    }
    # Given without a value is not given: an empty secret would take the place of the one that was made.
    given = {name: value for name, value in os.environ.items() if value.strip() or name not in made_here}
    # What the operator gives counts more than what is made here, but for the ports: LIFELINE_RUN_PORTS_FROM moves all.
    fixed = {**ports.as_settings(listeners), **FIXED, "LIFELINE_DATA_DIR": str(folder.path)}
    env = {**SMALL, **made_here, **given, **fixed}
    volatile_url = env["LIFELINE_REDIS_VOLATILE_URL"]
    least = settings.LIFELINE_RUN_WORKERS
    most = max(least, settings.LIFELINE_RUN_WORKERS_MOST)
    ours = lifeline_parts(listeners, volatile_url, drain_s=settings.LIFELINE_DRAIN_S, least=least, most=most, host=host)
    try:
        parts = choose(
            [*servers, *ours],
            settings.LIFELINE_RUN_ONLY,
            settings.LIFELINE_RUN_WITHOUT,
        )
    except ValueError as error:
        raise StartError(f"LIFELINE_RUN_ONLY or LIFELINE_RUN_WITHOUT: {error}") from error
    names = {part.name for part in parts}
    scaled = [name for name in workers(most) if name in names]
    limits = Limits(settings.LIFELINE_RUN_TURNS_WAITING, min(least, len(scaled)), len(scaled))
    ports.check([listener for listener in listeners if listener.part in names])
    console = next(listener for listener in listeners if listener.part == "console")
    return Stack(
        parts=parts,
        env=env,
        state=state_of(env, made_here),
        cwd=settings.BASE_DIR,
        ready_line=f"Lifeline is ready: http://{console.host}:{console.port} user admin password {admin_password}",
        scaling=Scaling(scaled, limits, load_by(volatile_url)) if limits.most > limits.least else None,
        prepare=Part("prepare", manage("prepare_data"), env={"LIFELINE_RUN_ADMIN_PASSWORD": admin_password}),
    )


# Lines appear when they are printed; and a dozen processes on a small machine gain nothing from threads in numpy.
FIXED = {"PYTHONUNBUFFERED": "1"}
SMALL = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _listeners() -> list[ports.Listener]:
    engine_host = settings.LIFELINE_ENGINE_HOST
    console_host = settings.LIFELINE_CONSOLE_HOST
    return [
        ports.Listener("console", "LIFELINE_CONSOLE_PORT", console_host, settings.LIFELINE_CONSOLE_PORT),
        ports.Listener("bridge", "LIFELINE_ESL_PORT", settings.LIFELINE_ESL_HOST, settings.LIFELINE_ESL_PORT),
        ports.Listener("gateway", "LIFELINE_MEDIA_PORT", settings.LIFELINE_MEDIA_HOST, settings.LIFELINE_MEDIA_PORT),
        ports.Listener("engine", "LIFELINE_ENGINE_STT_PORT", engine_host, settings.LIFELINE_ENGINE_STT_PORT),
        ports.Listener("engine", "LIFELINE_ENGINE_HTTP_PORT", engine_host, settings.LIFELINE_ENGINE_HTTP_PORT),
        ports.Listener("simulator", "LIFELINE_SWITCH_PORT", "127.0.0.1", settings.LIFELINE_SWITCH_PORT),
        *(_further_bridge(number) for number in range(2, settings.LIFELINE_RUN_BRIDGES + 1)),
    ]


def _further_bridge(number: int) -> ports.Listener:
    setting = f"LIFELINE_RUN_BRIDGE_{number}_PORT"
    port = Environment(settings.LIFELINE_DATA_DIR).port(setting, settings.LIFELINE_ESL_PORT + number - 1)
    return ports.Listener(f"bridge-{number}", setting, settings.LIFELINE_ESL_HOST, port)
