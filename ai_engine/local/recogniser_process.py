"""The program of one recogniser process: streams of audio in through a pipe, words out.

Owns its decoders and which stream has which. Ends when the pipe closes or its parent dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
from multiprocessing.connection import Connection

import msgspec

from ai_engine.local.decoding import Decoder
from ai_engine.local.grammar import Grammar
from ai_engine.local.own_words import Leaning, OwnWords
from ai_engine.local.second_hearing import believed, spoken_part, subjects
from ai_engine.messages import INTENT

# A decoder takes about a twentieth of real time for a caller who speaks: more of them would fall behind on one core.
MAX_DECODERS = 8
# Kept ready whatever else there is to do; the rest are made while nobody speaks, because making one holds up who does. Made
# when callers came, a dozen at once, the last of them waited longer than their clients do.
READY_DECODERS = 2
_PR_SET_PDEATHSIG = 1


class Open(msgspec.Struct, frozen=True, tag=True):
    stream: int


class Audio(msgspec.Struct, frozen=True, tag=True):
    stream: int
    pcm: bytes


class Finish(msgspec.Struct, frozen=True, tag=True):
    """``expect`` is ``intent``, or what else the caller was asked for; ``at_s`` when they had spoken, by the machine's monotonic
    clock."""

    stream: int
    expect: str = INTENT
    at_s: float | None = None


class Close(msgspec.Struct, frozen=True, tag=True):
    """Never answered; closing what is closed does nothing."""

    stream: int


class NewGrammar(msgspec.Struct, frozen=True, tag=True):
    grammar: Grammar


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Sent once, when the first decoder is warm."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    stream: int
    accepted: bool


class Partial(msgspec.Struct, frozen=True, tag=True):
    stream: int
    text: str


class Final(msgspec.Struct, frozen=True, tag=True):
    stream: int
    text: str
    words: list[tuple[str, float]]


ToProcess = Open | Audio | Finish | Close | NewGrammar
FromProcess = Ready | Opened | Partial | Final

_decoder = msgspec.msgpack.Decoder(ToProcess)
_encoder = msgspec.msgpack.Encoder()


class Streams:
    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        first = Decoder(grammar)
        self._mean = first.mean
        self._idle = [first]
        self._busy: dict[int, Decoder] = {}
        self._own_words = OwnWords(Leaning(grammar.sentences))
        self._about = subjects(grammar.sentences)

    @property
    def wants_more(self) -> bool:
        """Whether a decoder should be made as soon as no message waits."""
        enough = READY_DECODERS if self._busy else MAX_DECODERS
        return len(self._idle) < enough and len(self._idle) + len(self._busy) < MAX_DECODERS

    def make_one(self) -> None:
        self._idle.append(Decoder(self._grammar, self._mean))

    def answer(self, message: ToProcess) -> FromProcess | None:
        match message:
            case Open(stream):
                return Opened(stream, self._open(stream))
            case Audio(stream, pcm):
                return Partial(stream, self._busy[stream].hear(pcm))
            case Finish(stream, expect, at_s):
                words = self._finish(self._busy[stream], expect, at_s)
                self._release(stream)
                return Final(stream, " ".join(word for word, _ in words), words)
            case Close(stream):
                self._release(stream)
            case NewGrammar(grammar):
                self._grammar = grammar
                self._idle = []
                self._own_words.leaning = Leaning(grammar.sentences)
                self._about = subjects(grammar.sentences)
        return None

    def _finish(self, decoder: Decoder, expect: str, at_s: float | None) -> list[tuple[str, float]]:
        """Heard again as a whole when anything may have been said; for a number or a yes the grammar is better alone."""
        _, words = decoder.finish()
        if not words or expect != INTENT:
            return words
        return believed(words, self._own_words.hear(spoken_part(decoder.heard), at_s), self._about)

    def _open(self, stream: int) -> bool:
        if not self._idle and len(self._busy) >= MAX_DECODERS:
            return False
        if not self._idle:
            self.make_one()
        decoder = self._idle.pop()
        decoder.start()
        self._busy[stream] = decoder
        return True

    def _release(self, stream: int) -> None:
        decoder = self._busy.pop(stream, None)
        if decoder is None:
            return
        decoder.abandon()
        if decoder.grammar is self._grammar and len(self._idle) < MAX_DECODERS:
            self._idle.append(decoder)


def serve(pipe: Connection, parent_pid: int, grammar: Grammar) -> None:
    """Until the other end of the pipe is closed. Signals to the whole group are the parent's to judge."""
    die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    streams = Streams(grammar)
    pipe.send_bytes(_encoder.encode(Ready()))
    while True:
        try:
            if streams.wants_more and not pipe.poll(0):
                streams.make_one()
                continue
            message = _decoder.decode(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        answer = streams.answer(message)
        if answer is not None:
            try:
                pipe.send_bytes(_encoder.encode(answer))
            except OSError:
                return


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now when it did already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit(1)
