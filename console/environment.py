"""Typed reading of settings: the environment first, then the running stack's state file, then the default.

Owns how a value is found and how a wrong one is refused (:class:`ImproperlyConfigured` with its name and the fix).
The state file is written by the launcher, so that a command run beside ``make run`` finds the running stack by itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from ivr_fallback.last_resort import FOLDER

STATE_FILE = "state.json"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
# What signs and seals: shorter ones can be guessed from what they signed.
LEAST_SECRET = 32
PLAYABLE_WORDS = "the whole path of a folder, of letters (a to z), digits and . _ : @ + - only"


class Environment:
    """Looks settings up and remembers which names exist, so that a misspelt ``LIFELINE_…`` variable is refused."""

    def __init__(self, data_dir: Path, environ: dict[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._state = _read_state(data_dir / STATE_FILE)
        self._asked: set[str] = set()

    def text(self, name: str, default: str) -> str:
        """Given without a value (``NAME=``, as files of settings do), it counts as not given: an empty path would be the
        folder in which one happens to be, an empty host every address of the machine, an empty secret one that all know."""
        self._asked.add(name)
        return next((value for value in (self._environ.get(name), self._state.get(name)) if value and value.strip()), default)

    def secret(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if value != default and len(value) < LEAST_SECRET:
            raise ImproperlyConfigured(f"{name} is too short: give a random text of {LEAST_SECRET} characters or more.")
        return value

    def path(self, name: str, default: Path) -> Path:
        return Path(self.text(name, str(default)))

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.text(name, str(default)).strip().lower()
        if value in TRUE:
            return True
        if value in FALSE:
            return False
        raise ImproperlyConfigured(f"{name} is {value!r}: use true or false.")

    def one_of(self, name: str, default: str, *choices: str) -> str:
        """In capitals, however it is written."""
        value = self.text(name, default)
        if (found := value.strip().upper()) not in choices:
            raise ImproperlyConfigured(f"{name} is {value!r}: use {', '.join(choices[:-1])} or {choices[-1]}.")
        return found

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        value = self._as_given(name, str(default))
        try:
            number = int(value)
        except ValueError:
            raise ImproperlyConfigured(f"{name} is {value!r}: use a whole number from {least} to {most}.") from None
        if not least <= number <= most:
            raise ImproperlyConfigured(f"{name} is {number}: use a whole number from {least} to {most}.")
        return number

    def port(self, name: str, default: int) -> int:
        return self.number(name, default, least=1, most=65535)

    def names(self, name: str, default: str = "") -> list[str]:
        """An empty list may be given."""
        return [part.strip() for part in self._as_given(name, default).split(",") if part.strip()]

    def url(self, name: str, default: str, *schemes: str) -> str:
        """An address that may hold a password. A wrong one is refused here without being shown: whoever reads it next would
        say what is wrong with it, part of the password included. Without ``schemes`` any scheme will do."""
        value = self._as_given(name, default)
        try:
            parts = urlsplit(value)
            # SQLite's own form has a colon where others have a port.
            good = bool(parts.scheme) and (parts.scheme == "sqlite" or parts.port is None or bool(parts.hostname))
        except ValueError:
            good = False
        # An unescaped / # or ? in a password ends the place where it belongs.
        if not good or "@" in parts.path + parts.query + parts.fragment or (schemes and parts.scheme not in schemes):
            begins = f", beginning with {' or '.join(f'{scheme}://' for scheme in schemes)}" if schemes else ""
            raise ImproperlyConfigured(
                f"{name} is no address that can be used{begins}. (It is not shown, since it may hold a password; in a "
                "password write / # ? @ : and % as %2F %23 %3F %40 %3A and %25.)"
            )
        return value

    def name(self, name: str, default: str, most: int = 64) -> str:
        """What goes into keys, channel variables and records as it is: letters, digits and ``. _ -``, ``most`` (64 at most).
        With an empty ``default`` it may be left out."""
        value = self._as_given(name, default)
        if value != default and not (NAME.fullmatch(value) and len(value) <= most):
            raise ImproperlyConfigured(f"{name} is {value!r}: use letters, digits and . _ - only, {most} at most.")
        return value

    def sound_folder(self, name: str, default: Path) -> Path:
        """What a switch plays from: it is told every file by its whole path, in which nothing may have a meaning to it. Its
        ``default`` is in the data folder, whose name is to blame then."""
        value = self.text(name, "")
        if value and not is_playable(value):
            raise ImproperlyConfigured(f"{name} is {value!r}: give {PLAYABLE_WORDS}. A switch plays nothing from another.")
        if not value and not is_playable(default):
            raise ImproperlyConfigured(not_playable(default.parent))
        return Path(value) if value else default

    def media_url(self, name: str, host: str, port: int) -> str:
        """Where a switch connects to the gateway, which listens on ``host`` and ``port``. To a switch "every address" is itself."""
        value = self.text(name, f"ws://[{host}]:{port}/stream" if ":" in host else f"ws://{host}:{port}/stream")
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
            good = good and not _is_every_address(parts.hostname or "")
        except ValueError:
            good = False
        if not good:
            raise ImproperlyConfigured(
                f"{name} is {value!r}, to which no switch can connect: give the gateway's own address as the switches reach it, "
                f"such as {name}=ws://10.0.0.11:{port}/stream. (Without it, it is made of LIFELINE_MEDIA_HOST.)"
            )
        return value

    def networks(self, name: str, default: str) -> list[str]:
        """A list of addresses and networks, checked here so that a typo stops the start."""
        networks = self.names(name, default)
        for network in networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ImproperlyConfigured(
                    f"{name} holds {network!r}: use addresses or networks such as 127.0.0.1 or 10.0.0.0/8, "
                    "with commas between."
                ) from None
        return networks

    def _as_given(self, name: str, default: str) -> str:
        """For what is checked, or may be empty."""
        self._asked.add(name)
        return self._environ.get(name, self._state.get(name, default))

    def beginning_with(self, prefix: str) -> list[str]:
        """The variables that are given, not the settings there are."""
        return sorted(name for name in self._environ if name.startswith(prefix))

    def refuse_unknown(self, prefix: str, known_elsewhere: tuple[str, ...]) -> None:
        """Raises for a variable that begins with ``prefix`` and that nobody reads: most likely a typing error."""
        for name in sorted(self._environ):
            if not name.startswith(prefix) or name in self._asked or name.startswith(known_elsewhere):
                continue
            raise ImproperlyConfigured(
                f"{name} is not a setting of Lifeline: correct its name or take it out (docs/settings.md)."
            )


def _is_every_address(host: str) -> bool:
    """What one listens on, and cannot connect to. Raises nothing: a name is none."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == "0"  # What connect() takes for 0.0.0.0.


def is_playable(folder: Path | str) -> bool:
    """Whether a switch may be told files in this folder (the narrower of what a command and its dialplan may hold)."""
    return FOLDER.fullmatch(str(folder)) is not None


def not_playable(data_dir: Path) -> str:
    return (
        f"LIFELINE_DATA_DIR is {str(data_dir)!r} (without the setting it is in the source folder), and from there a switch plays "
        f"nothing: set it to {PLAYABLE_WORDS}, for example LIFELINE_DATA_DIR=/var/tmp/lifeline"
    )


def _read_state(path: Path) -> dict[str, str]:
    """The running stack's settings, or nothing when no stack runs. A stack whose launcher is gone is no stack."""
    try:
        state = json.loads(path.read_text())
        launcher_pid = int(state["pid"])
        started = state.get("started")
        settings = {str(name): str(value) for name, value in state["env"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    try:
        os.kill(launcher_pid, 0)
    except ProcessLookupError:
        return {}
    except PermissionError:
        pass
    if started is not None and started != started_at(launcher_pid):
        return {}
    return settings


def started_at(pid: int) -> int | None:
    """When ``pid`` began, in the kernel's ticks, to tell it from a later process that was given the same number (as
    happens at once in a restarted container). None where the kernel does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything; the start is the 22nd.
    return int(stat.rpartition(")")[2].split()[19])
