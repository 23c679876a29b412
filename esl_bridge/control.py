"""The control port (8021): questions and orders to the switch beside its calls, for the console, Celery and operators.

Owns the commands' syntax and the check of their arguments; what answers mean is ``control_answers.py``'s. Never used by a
live call, and never on an event loop: each call blocks until its deadline at most. python-ESL has no connect time-out and may
block for ever, and a thread stuck in it could not be ended; so questions are asked by a process that is killed at its deadline.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid as uuids
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from esl_bridge.control_answers import Channel, SwitchStatus, read_channels, read_status
from esl_bridge.control_errors import (
    AccessListError,
    ControlUnavailableError,
    NoAnswerError,
    RefusedError,
    SwitchAwayError,
    SwitchControlError,
    UnknownCommandError,
    WrongPasswordError,
)

DEADLINE_S = 5.0
PROCESS = Path(__file__).with_name("control_process.py")

# Allow-lists: neither a second command (a line end) nor an expansion (${…}) nor a further argument gets through.
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CAUSE = re.compile(r"[A-Z][A-Z_]{1,63}")
NAME = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
ENDPOINT = re.compile(r"[A-Za-z0-9_.+*#@:;/=-]{1,256}")
ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
FILE = re.compile(r"/[A-Za-z0-9_.:@+/-]{1,1000}")
NO_CHANNEL = "No such channel"
NOT_FOUND = "can't find anything"
UNKNOWN = re.compile(r"-ERR \S+ Command not found!\s*")
# What one costs the switch where its disk is slow. The way there and back counts once: the process does not wait between them.
FURTHER_QUESTION_S = 0.01
RELOADED = "+OK [Success]"
# What a person at an agent's telephone sees, should a test call ever come that far.
TEST_CALLER = (
    "origination_caller_id_name=Lifeline_test_call", "origination_caller_id_number=0000000000",
    # No customer is on the line, which a loopback's other leg, the one the bridge gets, has to be told.
    "ll_simulated=true", "loopback_export=ll_simulated",
)  # fmt: skip
NOISE_DIVISOR = 1400
LINE_END = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SwitchControl:
    """Each method is one connection. An argument that the switch must not see raises ValueError and is not sent.

    ``password_setting`` is what an operator is told to correct when the password is wrong.
    """

    host: str
    port: int
    password: str = field(repr=False)
    deadline_s: float = DEADLINE_S
    password_setting: str = "LIFELINE_SECRET_SWITCH_PASSWORD"

    def status(self) -> SwitchStatus:
        return read_status(self._ask("status"))

    def reload_dialplan(self) -> None:
        """Have it read its configuration again. Raises :class:`RefusedError` when it keeps the old one. Harmless to repeat."""
        answer = self._ask("reloadxml").strip()
        # FreeSWITCH says +OK to a broken file as well, with what is wrong in the brackets.
        if answer != RELOADED:
            raise RefusedError(f"The switch at {self._place} kept what it had: {answer.removeprefix('+OK ')}")

    def dialplan(self, context: str) -> str:
        """A context's XML as the switch has it in memory, whatever its files hold now; empty when it has none of that name."""
        answer = self._ask(f"xml_locate dialplan context name {_checked(NAME, context)}")
        return "" if answer.startswith(NOT_FOUND) else answer

    def missing_files(self, paths: Collection[str]) -> list[str]:
        """Those that the switch does not find, sorted: they are not on its disk, or in a folder that its user may not pass.
        One that is there and that it may not read, or without a sound, is not told from a good one."""
        asked = sorted(paths)
        answers = self._ask_all([f"file_exists {_checked(FILE, path)}" for path in asked])
        return [path for path, answer in zip(asked, answers, strict=True) if answer.strip() != "true"]

    def wall_clock(self, zone: str, at: datetime) -> str:
        """``YYYY-MM-DD HH:MM`` in a time zone at an aware moment, as this switch's conditions read it.

        Raises :class:`RefusedError` when the zone is not in its ``timezones.conf.xml``.
        """
        return self._ask(f"strftime_tz {_checked(ZONE, zone)} {int(at.timestamp())}|%Y-%m-%d %H:%M").strip()

    def channels(self) -> list[Channel]:
        return read_channels(self._ask("show channels as json"))

    def exists(self, call_uuid: str) -> bool:
        return self._ask(f"uuid_exists {_checked(UUID, call_uuid)}").strip() == "true"

    def variable(self, call_uuid: str, name: str) -> str | None:
        """None when the call has no such variable, or there is no such call (any more)."""
        try:
            value = self._ask(f"uuid_getvar {_checked(UUID, call_uuid)} {_checked(NAME, name)}").strip()
        except RefusedError as error:
            if NO_CHANNEL in str(error):
                return None
            raise
        return None if value == "_undef_" else value

    def hang_up(self, call_uuid: str, cause: str = "NORMAL_CLEARING") -> bool:
        """False when there is no such call (any more). Harmless to repeat."""
        return self._order(f"uuid_kill {_checked(UUID, call_uuid)} {_checked(CAUSE, cause)}")

    def transfer(self, call_uuid: str, extension: str, context: str) -> bool:
        """False when there is no such call. Repeating it starts the extension anew: look at the call first."""
        target = f"{_checked(NAME, extension)} XML {_checked(NAME, context)}"
        return self._order(f"uuid_transfer {_checked(UUID, call_uuid)} {target}")

    def originate(self, endpoint: str, extension: str, context: str, *, answer_within_s: int = 20) -> str:
        """Calls ``endpoint`` (such as ``loopback/9200/lifeline``) and, once it answers, sends it to ``extension``.
        Blocks until then, and returns the call's UUID. Repeating it places a second call."""
        target = f"{_checked(NAME, extension)} XML {_checked(NAME, context)}"
        return self._originate(str(uuids.uuid4()), endpoint, target, answer_within_s)

    def place_test_call(self, endpoint: str, *, call_uuid: str, lasts_s: int, answer_within_s: int) -> str:
        """Calls ``endpoint`` as a caller who says nothing and hangs up ``lasts_s`` after the answer. Blocks until it
        is answered; repeating it places a second call. ``call_uuid`` becomes the caller's own leg. Returns the leg
        that runs the dialplan, by which the bridge knows the call: of a loopback a real switch says in a variable
        which one that is; of any other endpoint nothing but the caller's leg is known."""
        # Comfort noise and no digital zeros: a telephone line is never that silent.
        silence = f"&playback(silence_stream://{int(lasts_s) * 1000},{NOISE_DIVISOR})"
        own = self._originate(_checked(UUID, call_uuid), endpoint, silence, answer_within_s, TEST_CALLER)
        try:
            other = self.variable(own, "other_loopback_leg_uuid")
        except SwitchControlError:  # The call is answered all the same.
            other = None
        return other if other is not None and UUID.fullmatch(other) else own

    def _originate(self, call_uuid: str, endpoint: str, target: str, answer_within_s: int, more: tuple[str, ...] = ()) -> str:
        # Without the third, a called party that sends a ringing tone would count as answered.
        options = (
            f"origination_uuid={call_uuid}", f"originate_timeout={int(answer_within_s)}", "ignore_early_media=true", *more,
        )  # fmt: skip
        command = f"originate {{{','.join(options)}}}{_checked(ENDPOINT, endpoint)} {target}"
        answered = self._ask(command, self.deadline_s + answer_within_s).removeprefix("+OK ").strip()
        return answered if UUID.fullmatch(answered) else call_uuid

    def _order(self, command: str) -> bool:
        try:
            self._ask(command)
        except RefusedError as error:
            if NO_CHANNEL in str(error):
                return False
            raise
        return True

    def _ask(self, command: str, deadline_s: float | None = None) -> str:
        return self._ask_all([command], deadline_s)[0]

    def _ask_all(self, commands: Sequence[str], deadline_s: float | None = None) -> list[str]:
        """On one connection. Several have to be questions: the next ones are sent before the first is answered."""
        if LINE_END.search(self.password):
            raise ValueError("The switch's password holds a control character.")
        limit_s = (self.deadline_s if deadline_s is None else deadline_s) + FURTHER_QUESTION_S * len(commands[1:])
        question = {"host": self.host, "port": self.port, "password": self.password, "commands": commands}
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(PROCESS)],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"The switch at {self._place} did not answer within {limit_s:g} s.") from None
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
            raise SwitchAwayError(f"Asking the switch at {self._place} failed: {reason[0]}")
        return self._read(json.loads(done.stdout))

    def _read(self, answer: dict[str, Any]) -> list[str]:
        match answer.get("failed"):
            case None:
                replies: list[str] = answer["replies"]
            case "unavailable":
                raise ControlUnavailableError(
                    "The switch's control port needs python-ESL: apt-get install gcc python3-dev, then start again."
                )
            case "no answer":
                raise NoAnswerError(f"The switch at {self._place} closed the connection before it answered.")
            case "password":
                raise WrongPasswordError(
                    f"The switch at {self._place} refuses the password: set {self.password_setting} to the one "
                    "in its event_socket.conf.xml."
                )
            case "access":
                raise AccessListError(
                    f"The switch at {self._place} does not let this machine in: add its address to the access list that "
                    "apply-inbound-acl names in event_socket.conf.xml."
                )
            case _:
                raise SwitchAwayError(f"The switch at {self._place} cannot be reached: {answer['text']}.")
        for reply in replies:
            if UNKNOWN.fullmatch(reply):
                raise UnknownCommandError(reply.strip())
            if reply.startswith(("-ERR", "-USAGE")):
                raise RefusedError(reply.strip())
        return replies

    @property
    def _place(self) -> str:
        return f"{self.host}:{self.port}"


def _checked(allowed: re.Pattern[str], value: str) -> str:
    if not allowed.fullmatch(value):
        raise ValueError(f"{value!r} is not sent to the switch: only {allowed.pattern} is.")
    return value
