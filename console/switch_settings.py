"""Which switches there are: the settings of their control ports, checked so that a wrong one stops the start.

Owns the form of ``LIFELINE_SWITCHES`` and of the test call's endpoint. Nothing here asks a switch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.core.exceptions import ImproperlyConfigured

from console.environment import Environment
from esl_bridge.control import ENDPOINT, LINE_END

MAIN = "main"
"""The name of the switch at LIFELINE_SWITCH_HOST:LIFELINE_SWITCH_PORT."""
PASSWORD = "LIFELINE_SECRET_SWITCH_PASSWORD"
FORM = re.compile(r"(?P<name>[^=]+)=(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
# It becomes part of an address of the console and, in capitals, of a variable's name.
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
EXAMPLE = "use name=host:port with commas between, such as east=10.0.0.2:8021,west=10.0.0.3:8021"


@dataclass(frozen=True, slots=True)
class SwitchAddress:
    name: str
    host: str
    port: int
    password: str = field(repr=False)
    password_setting: str = PASSWORD

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def checked_password(setting: str, password: str) -> str:
    if LINE_END.search(password):
        raise ImproperlyConfigured(f"{setting} holds a control character (a line end?): take it out.")
    return password


def further_switches(env: Environment, entries: Sequence[str], main: SwitchAddress) -> tuple[SwitchAddress, ...]:
    """Those beside ``main``. A password that is given for none of them is most likely a typing error."""
    found: list[SwitchAddress] = []
    for entry in entries:
        switch = _switch(env, entry, main.password)
        for other in (main, *found):
            if switch.name == other.name:
                more = " (it is the one of LIFELINE_SWITCH_HOST)" if other is main else ""
                raise ImproperlyConfigured(
                    f"LIFELINE_SWITCHES names {switch.name!r} twice{more}: give each switch a name of its own."
                )
            if (switch.host, switch.port) == (other.host, other.port):
                raise ImproperlyConfigured(
                    f"LIFELINE_SWITCHES holds {switch.place} as {switch.name!r}, which is {other.name!r} already: take one out."
                )
        found.append(switch)
    for name in env.beginning_with(PASSWORD + "_"):
        if name not in {switch.password_setting for switch in found}:
            raise ImproperlyConfigured(f"{name} belongs to no switch of LIFELINE_SWITCHES: correct its name or take it out.")
    return tuple(found)


def _switch(env: Environment, entry: str, common_password: str) -> SwitchAddress:
    parts = FORM.fullmatch(entry)
    if parts is None:
        raise ImproperlyConfigured(f"LIFELINE_SWITCHES holds {entry!r}: {EXAMPLE}.")
    name, port = parts["name"].strip(), int(parts["port"])
    if not NAME.fullmatch(name):
        raise ImproperlyConfigured(
            f"LIFELINE_SWITCHES names a switch {name!r}: use up to 32 small letters, digits and hyphens, a letter first."
        )
    if not 1 <= port <= 65535:
        raise ImproperlyConfigured(f"LIFELINE_SWITCHES gives {name!r} the port {port}: use one from 1 to 65535.")
    setting = f"{PASSWORD}_{name.upper().replace('-', '_')}"
    password = checked_password(setting, env.text(setting, common_password))
    return SwitchAddress(name, parts["host"].strip("[]"), port, password, setting)


def checked_endpoint(setting: str, value: str) -> str:
    """Whatever else the switch would take there (blanks, brackets, variables) could order it to do something else."""
    if not ENDPOINT.fullmatch(value):
        raise ImproperlyConfigured(
            f"{setting} is {value!r}: use an endpoint such as loopback/9200/lifeline or sofia/internal/9200@10.0.0.2:5060."
        )
    return value
