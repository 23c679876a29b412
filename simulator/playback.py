"""Playing to the caller and collecting their keys, as `playback` and `play_and_get_digits` do it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulator.line import FRAME_S
from simulator.media import RATE_HZ, Audio, open_audio
from simulator.session import Session, Waited

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

    reason, played_s = await _play_parts(session, audio, None if stops_on is None else on_digit)
    _record(session, played_s)
    status = "done" if reason is Waited.ELAPSED else "break"
    session.switch.fire("PLAYBACK_STOP", channel, (*extra, ("Playback-Status", status)))
    return True, pressed[0] if pressed else ""


async def _play_parts(
    session: Session, audio: Audio, on_digit: Callable[[str], bool] | None
) -> tuple[Waited, float]:
    played_s = 0.0
    reason = Waited.ELAPSED
    for part in audio.parts:
        session.far_end.on_audio_started(part)
        reason, left_s = await session.wait(part.duration_s, on_digit=on_digit)
        heard_s = part.duration_s - left_s
        session.far_end.on_audio_ended(part, heard_s)
        played_s += heard_s
        if reason is not Waited.ELAPSED:
            break
    return reason, played_s


def _record(session: Session, played_s: float) -> None:
    samples = round(played_s * RATE_HZ)
    channel = session.channel
    channel.bytes_heard += samples
    values = {"last_offset_pos": samples, "seconds": int(played_s), "ms": round(played_s * 1000), "samples": samples}
    for name, value in values.items():
        channel.set(f"playback_{name}", str(value))


async def playback(session: Session, argument: str) -> None:
    """The application: answers FILE PLAYED or FILE NOT FOUND, and `say:` without an engine plays nothing at once."""
    if argument.startswith(("say:", "phrase:")):
        await session.wait(FRAME_S)
        session.respond("FILE PLAYED")
        return
    configured = session.channel.get("playback_terminators") or _DEFAULT_TERMINATORS
    terminators = "" if configured == "none" else configured
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
    request = parse_digits_request(argument)
    if request is None:
        return
    channel = session.channel
    for _ in range(max(1, request.tries)):
        digits, terminator, timed_out = await _read(session, request)
        if not session.ready():
            return
        channel.set("read_terminator_used", terminator)
        enough = len(digits) >= request.least
        channel.set("read_result", "success" if enough else "timeout" if timed_out and not digits else "failure")
        if enough and _matches(request.pattern, digits):
            channel.set(request.variable, digits)
            return
        if digits:
            channel.set(f"{request.variable}_invalid", digits)
        if request.invalid:
            await play(session, request.invalid, stops_on=None)
        if not session.ready():
            return
    channel.set("read_result", "failure")
    if request.failure:
        words = request.failure.split()
        session.transfer(words[0], *(words[1:3] if len(words) > 2 else ("XML", "")))


def _matches(pattern: str, digits: str) -> bool:
    try:
        return re.search(pattern, digits) is not None
    except re.error:
        return False


async def _read(session: Session, request: DigitsRequest) -> tuple[str, str, bool]:
    """One try: digits, the terminator that ended them, and whether time ran out. The first key stops the prompt."""
    _opened, first = await play(session, request.prompt, stops_on="any")
    if first and first in request.terminators:
        return "", first, False
    digits = first
    ended_by: list[str] = []

    def on_digit(digit: str) -> bool:
        nonlocal digits
        if digit in request.terminators:
            ended_by.append(digit)
        else:
            digits += digit
        return True

    while session.ready() and len(digits) < request.most and not ended_by:
        reason, _left_s = await session.wait(
            request.digit_timeout_s if digits else request.timeout_s, on_digit=on_digit
        )
        if reason is Waited.ELAPSED:
            return digits, "", True
        if reason is Waited.BROKEN:
            break
    return digits, ended_by[0] if ended_by else "", False
