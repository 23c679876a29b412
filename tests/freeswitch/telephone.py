"""A SIP telephone that speaks, presses keys, holds and hangs up, and remembers what it heard and when.

Owns one call's signalling and its RTP, on two sockets and two threads. What is dialled and what it should hear is for the
tests to say. No registration, no encryption, one codec a call.
"""

from __future__ import annotations

import itertools
import random
import re
import socket
import struct
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espeak.voice import wav
from tests.freeswitch.g711 import RATE_HZ, VALUES, Samples, encoded, tones

FRAME = 160
FRAME_S = 0.02
KEY_EVENTS = 101
KEY_FRAMES = 6
PAUSE_FRAMES = 5
KEYS = "0123456789*#"
# Below it nothing is heard: the dither of silence has an RMS of 5.
LOUD_RMS = 150.0
LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    at_s: float
    samples: Samples

    @property
    def loud(self) -> bool:
        return bool(np.sqrt(np.mean(self.samples.astype(np.float64) ** 2)) > LOUD_RMS)


class Telephone:
    """``switch`` is where its SIP profile listens. Times are seconds since the answer."""

    def __init__(self, switch: tuple[str, int], *, host: str = "127.0.0.1", number: str = "1000", name: str = "caller") -> None:
        self._switch, self._host, self._caller, self._name = switch, host, number, name
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind((host, 0))
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind((host, 0))
        self._rtp.setblocking(False)
        self._call_id, self._tag = str(uuid.uuid4()), uuid.uuid4().hex[:8]
        self._to = self._contact = ""
        self._turn = 0
        self._codec = 0
        self._forwards = 70
        self._direction = "sendrecv"
        self._answers_in_ack = False
        # To the switch's own INVITE. Without one the SIP stack ends the call.
        self.answers_offers = True
        # Of its line: the noise's peak, and how many of its packets get lost.
        self.noise_peak, self.loses = 8, 0.0
        self._speaks = True
        self._far: tuple[str, int] | None = None
        self._waiting: deque[bytes | tuple[int, int, bool]] = deque()
        self._noise = random.Random(1)
        self.answered, self.over = threading.Event(), threading.Event()
        self.answers: list[int] = []
        self.heard: list[Frame] = []
        self.answered_at_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._signalling, self._media)]

    def __enter__(self) -> Telephone:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.answered.is_set() and not self.over.is_set():
            self.hang_up()
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT_S)
        self._sip.close()
        self._rtp.close()

    # --- What a person does ---

    def dial(
        self, number: str, *, codec: int = 0, speaks: bool = True, wait: bool = True, forwards: int = 70, offers: bool = True
    ) -> None:
        """``speaks=False``: no RTP at all, until :meth:`unmute`. ``forwards``: the Max-Forwards it sends. ``offers=False``: the
        switch is to offer the codecs, as Cisco's exchanges let it."""
        self._target = f"sip:{number}@{self._switch[0]}:{self._switch[1]}"
        self._codec, self._speaks, self._forwards, self._answers_in_ack = codec, speaks, forwards, not offers
        if offers:
            self._invite("sendrecv")
        else:
            self._request("INVITE")
        if wait:
            assert self.answered.wait(LIMIT_S), f"not answered: {self.answers}"

    def say(self, samples: bytes) -> None:
        """16-bit samples, after what is already being said."""
        data = encoded(np.frombuffer(samples, np.int16), self._codec)
        self._waiting.extend(data[at : at + FRAME] for at in range(0, len(data) - FRAME + 1, FRAME))

    def press(self, keys: str) -> None:
        """As RTP events (RFC 2833)."""
        for key in keys:
            code = KEYS.index(key)
            self._waiting.extend((code, (n + 1) * FRAME, n >= KEY_FRAMES - 3) for n in range(KEY_FRAMES))
            self._waiting.extend(self._silence() for _ in range(PAUSE_FRAMES))

    def press_tones(self, keys: str) -> None:
        """As sounds in the audio, of a tenth of a second each."""
        for key in keys:
            data = encoded(tones(key), self._codec)
            self._waiting.extend(data[at : at + FRAME] for at in range(0, len(data), FRAME))
            self._waiting.extend(self._silence() for _ in range(PAUSE_FRAMES))

    def press_by_info(self, key: str) -> None:
        self._request("INFO", f"Signal={key}\r\nDuration=160\r\n", "application/dtmf-relay")

    def unmute(self) -> None:
        self._speaks = True

    def hold(self) -> None:
        self._invite("sendonly")

    def resume(self) -> None:
        self._invite("sendrecv")

    def refer(self, to: str) -> None:
        self._request("REFER", "", "", f"Refer-To: <{to}>\r\nReferred-By: <{self._address}>\r\n")

    def hang_up(self) -> None:
        self._request("BYE")
        assert self.over.wait(LIMIT_S), "nobody answered the BYE"

    def cancel(self) -> None:
        """Give up before anybody answers."""
        self._send("CANCEL", self._target, f"CSeq: {self._turn} CANCEL\r\n", branch=f"z9hG4bK-{self._tag}-{self._turn}")

    # --- What was heard ---

    def now_s(self) -> float:
        return time.monotonic() - self.answered_at_s

    def is_told_something(self, limit_s: float = 10.0, since_s: float = 0.0) -> float:
        """When the first sound after ``since_s`` was heard."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            for frame in list(self.heard):
                if frame.at_s > since_s and frame.loud:
                    return frame.at_s
            self._stop.wait(FRAME_S)
        raise AssertionError(f"nothing was heard for {limit_s:g} s")

    def hears_silence(self, length_s: float, limit_s: float = 30.0) -> float:
        """Wait until nothing has been heard for that long. When the last sound was."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            last = max((frame.at_s for frame in list(self.heard) if frame.loud), default=0.0)
            if self.now_s() - last > length_s:
                return last
            self._stop.wait(FRAME_S)
        raise AssertionError(f"no silence of {length_s:g} s")

    def longest_silence_s(self, since_s: float = 0.0, until_s: float = float("inf")) -> float:
        """Between two sounds."""
        loud = [frame.at_s for frame in list(self.heard) if frame.loud and since_s <= frame.at_s <= until_s]
        return max((after - before for before, after in itertools.pairwise(loud)), default=float("inf"))

    def save(self, path: Path) -> None:
        """With the gaps in which nothing came."""
        sound = np.zeros(int((self.heard[-1].at_s + 1) * RATE_HZ) if self.heard else 0, np.int16)
        for frame in self.heard:
            at = max(0, int(frame.at_s * RATE_HZ))
            sound[at : at + len(frame.samples)] = frame.samples[: max(0, len(sound) - at)]
        path.write_bytes(wav(sound.tobytes(), RATE_HZ))

    # --- Signalling ---

    @property
    def _address(self) -> str:
        return f"sip:{self._caller}@{self._host}:{self._sip.getsockname()[1]}"

    def _invite(self, direction: str) -> None:
        self._direction = direction
        self._request("INVITE", self._sdp(), "application/sdp")

    def _sdp(self) -> str:
        name = {0: "PCMU", 8: "PCMA"}[self._codec]
        return (
            f"v=0\r\no=- 1 {self._turn + 1} IN IP4 {self._host}\r\ns=-\r\nc=IN IP4 {self._host}\r\n"
            f"t=0 0\r\nm=audio {self._rtp.getsockname()[1]} RTP/AVP {self._codec} {KEY_EVENTS}\r\n"
            f"a=rtpmap:{self._codec} {name}/8000\r\na=rtpmap:{KEY_EVENTS} telephone-event/8000\r\n"
            f"a=fmtp:{KEY_EVENTS} 0-15\r\na=ptime:20\r\na={self._direction}\r\n"
        )

    def _request(self, method: str, body: str = "", kind: str = "", more: str = "") -> None:
        self._turn += 1
        about = f"Content-Type: {kind}\r\n" if kind else ""
        self._send(method, self._contact or self._target, f"CSeq: {self._turn} {method}\r\n{more}{about}", body)

    def _send(self, method: str, target: str, more: str, body: str = "", branch: str = "") -> None:
        to = self._to or f"<{self._target}>"
        via = branch or f"z9hG4bK-{self._tag}-{self._turn}" + ("a" if method == "ACK" else "")
        text = (
            f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {self._host}:{self._sip.getsockname()[1]};branch={via};rport\r\n"
            f'Max-Forwards: {self._forwards}\r\nFrom: "{self._name}" <{self._address}>;tag={self._tag}\r\nTo: {to}\r\n'
            f"Call-ID: {self._call_id}\r\nContact: <{self._address}>\r\n{more}"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )
        self._sip.sendto(text.encode(), self._switch)

    def _signalling(self) -> None:
        self._sip.settimeout(FRAME_S)
        while not self._stop.is_set():
            try:
                data, _ = self._sip.recvfrom(65536)
            except TimeoutError:
                continue
            self._received(data.decode("utf-8", "replace"))

    def _received(self, text: str) -> None:
        first = text.partition("\r\n")[0]
        if not first.startswith("SIP/2.0"):
            if first.startswith("ACK"):
                return
            head = "".join(re.findall(r"(?im)^(?:via|from|to|call-id|cseq|record-route):.*\r\n", text))
            # A hold is kept, whatever the switch offers.
            is_offer = first.startswith("INVITE") and "\r\n\r\nv=0" in text
            body = self._sdp() if is_offer and self.answers_offers else ""
            about = f"Contact: <{self._address}>\r\nContent-Type: application/sdp\r\n" if body else ""
            self._sip.sendto(f"SIP/2.0 200 OK\r\n{head}{about}Content-Length: {len(body)}\r\n\r\n{body}".encode(), self._switch)
            if first.startswith("BYE"):
                self.over.set()
            return
        code = int(first.split()[1])
        self.answers.append(code)
        found = re.search(r"(?im)^cseq: *(\d+) (\w+)", text)
        number, method = (found[1], found[2]) if found else ("0", "")
        if media := re.search(r"(?m)^m=audio (\d+)", text):
            self._far = (self._switch[0], int(media[1]))
        if method == "BYE" and code >= 200:
            self.over.set()
        if method != "INVITE" or code < 200:
            return
        if (to := re.search(r"(?im)^to: *(.*?)\r$", text)) is not None:
            self._to = to[1]
        if (contact := re.search(r"(?im)^contact:.*?<(sip:[^>]+)>", text)) is not None:
            self._contact = contact[1]
        # Of a refusal it belongs to the INVITE's transaction, of an answer it is one of its own.
        refused = f"z9hG4bK-{self._tag}-{number}" if code >= 300 else ""
        body = self._sdp() if self._answers_in_ack and code < 300 else ""
        about = "Content-Type: application/sdp\r\n" if body else ""
        self._send("ACK", self._contact or self._target, f"CSeq: {number} ACK\r\n{about}", body, branch=refused)
        self._answers_in_ack = self._answers_in_ack and code >= 300
        if code >= 300:
            self.over.set()
        elif not self.answered.is_set():
            self.answered_at_s = time.monotonic()
            self.answered.set()

    # --- RTP ---

    def _silence(self) -> bytes:
        dither = np.array([self._noise.randint(-self.noise_peak, self.noise_peak) for _ in range(FRAME)], np.int16)
        return encoded(dither, self._codec)

    def _media(self) -> None:
        source, number, stamp, due_s = random.getrandbits(32), 0, 0, time.monotonic()
        key_began = 0
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += FRAME_S
            self._hear()
            if self._far is None or not self._speaks:
                continue
            number, stamp = number + 1 & 0xFFFF, stamp + FRAME & 0xFFFFFFFF
            said = self._waiting.popleft() if self._waiting else self._silence()
            if isinstance(said, bytes):
                packet = struct.pack("!BBHII", 0x80, self._codec, number, stamp, source) + said
            else:
                code, duration, end = said
                key_began = stamp if duration == FRAME else key_began
                marker = 0x80 if duration == FRAME else 0
                packet = struct.pack("!BBHII", 0x80, marker | KEY_EVENTS, number, key_began, source)
                packet += struct.pack("!BBH", code, 0x8A if end else 0x0A, duration)
            if self._noise.random() >= self.loses:
                self._rtp.sendto(packet, self._far)

    def _hear(self) -> None:
        while True:
            try:
                data, _ = self._rtp.recvfrom(2048)
            except (BlockingIOError, ConnectionError):
                return
            kind = data[1] & 0x7F
            if len(data) > 12 and kind in VALUES:
                samples = VALUES[kind][np.frombuffer(data[12:], np.uint8)]
                self.heard.append(Frame(time.monotonic() - self.answered_at_s if self.answered_at_s else 0.0, samples))
