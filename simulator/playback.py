"""Playing to the caller and collecting their keys, as `playback` and `play_and_get_digits` do it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from simulator.media import FRAME_S, RATE_HZ, Audio, open_audio
from simulator.messages import Waited
from simulator.session import Session

_DEFAULT_TERMINATORS: Final = "*"
_MAX_DIGITS: Final = 128  # mod_dptools' buffer


async def play(session: Session, name: str, *, stops_on: str | None) -> tuple[bool, str]:
    """Play one file or stream. Returns whether it opened, and the key that stopped it ("" if none did).

    ``stops_on`` are the keys that stop it ("any" for every key, None leaves keys on the line). Other keys are consumed.
    """
    audio = await open_audio(name, session.switch.config.sound_dir)
    if audio is None or not session.ready():
        return audio is not None, ""
    channel = session.channel
    about = (("Playback-File-Type", audio.kind),) if audio.kind else ()
    extra = (*about, ("Playback-File-Path", name))
    session.switch.fire("PLAYBACK_START", channel, extra)
    pressed: list[str] = []

    def on_digit(digit: str) -> bool:
        if stops_on == "any" or (stops_on is not None and digit in stops_on):
            pressed.append(digit)
            return True
        return False

    reason, played_s, read_s = await _play_parts(session, audio, None if stops_on is None else on_digit)
    _record(session, played_s, read_s)
    status = "break" if reason in (Waited.BROKEN, Waited.DIGIT) else "done"  # "done" also when the call itself went
    session.switch.fire("PLAYBACK_STOP", channel, (*extra, ("Playback-Status", status)))
    return True, pressed[0] if pressed else ""


async def _play_parts(
    session: Session, audio: Audio, on_digit: Callable[[str], bool] | None
) -> tuple[Waited, float, float]:
    """Why it ended, and how much was heard and read."""
    played_s = read_s = 0.0
    reason = Waited.ELAPSED
    for part in audio.parts:
        session.far_end.on_audio_started(part)
        reason, left_s = await session.wait(part.duration_s, on_digit=on_digit)
        heard_s = part.duration_s - left_s
        session.far_end.on_audio_ended(part, heard_s)
        played_s += heard_s
        read_s += part.read_s(heard_s)
        if reason is not Waited.ELAPSED:
            break
    return reason, played_s, read_s


def _record(session: Session, played_s: float, read_s: float) -> None:
    """Only the offset is what was heard; seconds, ms and samples are what had been read from the file."""
    heard = round(played_s * RATE_HZ)
    channel = session.channel
    channel.bytes_heard += heard
    values = {
        "last_offset_pos": heard, "seconds": int(read_s), "ms": int(read_s * 1000 + 1e-6),
        "samples": round(read_s * RATE_HZ),
    }  # fmt: skip
    for name, value in values.items():
        channel.set(f"playback_{name}", str(value))


async def playback(session: Session, argument: str) -> None:
    """The application: answers FILE PLAYED or FILE NOT FOUND, and `say:` without an engine plays nothing at once."""
    if argument.startswith(("say:", "phrase:")):
        await session.wait(FRAME_S)
        session.respond("FILE PLAYED")
        return
    configured = session.channel.get("playback_terminators") or _DEFAULT_TERMINATORS
    terminators = {"none": "", "any": "any"}.get(configured.lower(), configured)
    session.channel.set("playback_terminator_used", None)
    opened, key = await play(session, argument, stops_on=terminators)
    if key:
        session.channel.set("playback_terminator_used", key)
    session.respond("FILE PLAYED" if opened else "FILE NOT FOUND")


@dataclass(frozen=True, slots=True)
class DigitsRequest:
    """The arguments of `play_and_get_digits`, in their order."""

    least: int
    most: int
    tries: int
    timeout_s: float
    terminators: str
    prompt: str
    invalid: str
    variable: str
    pattern: str
    digit_timeout_s: float
    failure: str


@lru_cache(maxsize=1024)
def parse_digits_request(argument: str) -> DigitsRequest | None:
    lexer = shlex.shlex(argument, posix=False)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " ", True, ""
    lexer.quotes = "'"
    words = [word[1:-1] if word[:1] == word[-1:] == "'" and len(word) > 1 else word for word in lexer]
    if len(words) < 6 or not all(word.isdecimal() for word in words[:4]):
        return None
    words += [""] * (11 - len(words))
    timeout_s = int(words[3]) / 1000
    digit_timeout_s = int(words[9]) / 1000 if words[9].isdecimal() else timeout_s
    least, most = int(words[0]), min(int(words[1]), _MAX_DIGITS)
    return DigitsRequest(least, most, int(words[2]), timeout_s, "" if words[4] == "none" else words[4],
                         words[5], words[6], words[7], words[8] or ".*", digit_timeout_s, words[10])  # fmt: skip


async def play_and_get_digits(session: Session, argument: str) -> None:
    """Tries until the digits match. Afterwards the variable holds them, or nothing after digits that did not match."""
    request = parse_digits_request(argument)
    if request is None:
        return
    channel = session.channel
    channel.set(f"{request.variable}_invalid", None)
    for _ in range(request.tries):
        digits, result = await _read(session, request)
        if not session.ready():
            return
        if digits and result is not ReadResult.FAILURE:
            if _matches(request.pattern, digits):
                return
            channel.set(request.variable, None)
            channel.set(f"{request.variable}_invalid", digits)
        elif request.least == 0 and channel.get("read_terminator_used"):
            return
        if request.invalid:
            await play(session, request.invalid, stops_on=None)
        if not session.ready():
            return
    if request.failure:
        words = request.failure.split()
        session.transfer(words[0], words[1] if len(words) > 1 else "XML", words[2] if len(words) > 2 else "")


def _matches(pattern: str, digits: str) -> bool:
    try:
        return re.search(pattern, digits) is not None
    except re.error:
        return False


class ReadResult(StrEnum):
    SUCCESS = "success"
    TIMEOUT = "timeout"
    FAILURE = "failure"


async def _read(session: Session, request: DigitsRequest) -> tuple[str, ReadResult]:
    """One try, as switch_ivr_read: the first key stops the prompt; a prompt that does not open ends the try at once."""
    channel = session.channel
    channel.set("read_result", None)
    channel.set(request.variable, None)
    opened, digits = True, ""
    if request.prompt and request.prompt != "silence":
        opened, digits = await play(session, request.prompt, stops_on="any")
    if not opened or not session.ready():
        return "", ReadResult.FAILURE
    digits, terminator, result = await _collect(session, request, digits)
    if terminator:
        channel.set("read_terminator_used", terminator)
    if request.least and len(digits) < request.least:
        result = ReadResult.FAILURE
    channel.set("read_result", result.value)
    if request.most == 1 and digits and digits in request.terminators:
        digits = ""  # the key that stopped the prompt: neither a digit nor a terminator used
    channel.set(request.variable, digits)
    return digits, result


async def _collect(session: Session, request: DigitsRequest, first: str) -> tuple[str, str, ReadResult]:
    """Digits, the terminator that ended them, and whether time ran out. A break does not end it."""
    if len(first) >= max(request.most, request.least):
        return first, "", ReadResult.SUCCESS
    if first and first in request.terminators:
        return "", first, ReadResult.SUCCESS
    digits = first
    ended_by = ""

    def on_digit(digit: str) -> bool:
        nonlocal digits, ended_by
        if digit in request.terminators:
            ended_by = digit
        else:
            digits += digit
        return True

    while session.ready() and len(digits) < max(request.most, request.least) and not ended_by:
        timeout_s = request.digit_timeout_s if digits else request.timeout_s
        reason, _left_s = await session.wait(timeout_s, on_digit=on_digit, breaks=False)
        if reason is Waited.ELAPSED:
            return digits, "", ReadResult.TIMEOUT
    return digits, ended_by, ReadResult.SUCCESS
