"""Makes ``ai_engine/local/telephone.mllr``: one linear transform that brings the acoustic model to the telephone.

The packaged model was trained on 16 kHz speech of people; callers here are 8 kHz, through the local engine's own front
end. Maximum likelihood linear regression moves all its means at once (Leggetter and Woodland, 1995), from sentences
that are in no demonstration and random digits, said by ten voices. ``python -m bench.adapt_recogniser`` takes three minutes.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

import espeak.voice
from ai_engine.local import decoding
from ai_engine.local.grammar import DIGITS, build_grammar, read_dictionary

Matrix = NDArray[np.float64]
Phones = list[tuple[str, int, int]]  # name, first frame, frames

WIDTH = 13  # coefficients a stream: cepstra, their first and their second differences
ROUNDS = 3  # the first aligns with the packaged model, which loses a tenth of the sentences; the later ones with ours
ITERATIONS = 4
PAUSE = bytes(8000 * 3 // 10 * 2)
VOICES = (
    ("en-us", 155, 50), ("en-us+f3", 165, 60), ("en-us+m3", 150, 40), ("en-gb", 160, 50), ("en-us+f2", 150, 55),
    ("en-us+m1", 170, 45), ("en-us+klatt", 150, 50), ("en-us+klatt2", 150, 50), ("en-us+m6", 150, 50), ("en-us+f1", 155, 50),
)  # fmt: skip
SENTENCES = """
the quick brown fox jumps over the lazy dog
she sells sea shells by the shore
please call me back before six this evening
seven seals were sleeping on the southern rocks
my sister is fixing the kitchen sink
yes that is correct thank you
we visited the museum on thursday with the children
the judge gave a measured answer to the question
could you repeat that for me please
they bought fresh fish and five loaves of bread
how long will the delivery take
the boy enjoyed his noisy toy
i would like to change my password
he thought about the weather for a while
a huge choice of cheese and chocolate
sixteen sixty and six hundred
eleven twelve thirteen fourteen
the phone bill is higher than usual this month
send the invoice to my new address
nothing is better than a good cup of tea
put the book on the table near the window
a young man asked where the bank was
the train leaves from platform nine at half past eight
treasure and pleasure are a matter of leisure
open the door and turn left at the hall
we are closed on sunday and on public holidays
the package was shipped yesterday afternoon
can somebody help me with this problem
i lost my card and need another one
the usual time is fine with us
no i do not want that
know your own mind
nobody knows the answer
no no it was the other one
goodnight and good luck
a good buy at the market
yesterday yes today no
thank you very much indeed
thank you and have a nice evening
that is not what all of them said
""".strip().splitlines()


class Model:
    """The means and variances of every phone's mixture, by stream: arrays of (phone, density, coefficient)."""

    def __init__(self, folder: Path) -> None:
        names = _phone_names(folder / "mdef")
        self.index = {name: number for number, name in enumerate(names)}
        self.means = _gaussians(folder / "means")
        self.variances = [np.maximum(one, 1e-4) for one in _gaussians(folder / "variances")]


def _gaussians(path: Path) -> list[Matrix]:
    """Sphinx-3 parameter file: a text header, byte order, counts, then floats phone by phone, stream by stream."""
    data = path.read_bytes()
    at = data.index(b"endhdr\n") + 7
    magic, phones, streams, densities = struct.unpack_from("<I3i", data, at)
    if magic != 0x11223344 or streams != 3:
        raise SystemExit(f"{path.name}: not the three-stream model this is written for")
    (count,) = struct.unpack_from("<i", data, at + 16 + 4 * streams)
    values = np.frombuffer(data, "<f4", count, at + 20 + 4 * streams).astype(np.float64)
    cube = values.reshape(phones, streams, densities, WIDTH)
    return [cube[:, stream] for stream in range(streams)]


def _phone_names(path: Path) -> list[str]:
    data = path.read_bytes()
    _, _, description = struct.unpack_from("<4s2i", data)
    at = 12 + description
    (phones,) = struct.unpack_from("<i", data, at)
    return [name.decode() for name in data[at + 40 :].split(b"\0")[:phones]]


def texts() -> list[str]:
    source = random.Random(7)
    return [*SENTENCES, *(" ".join(source.choice(DIGITS) for _ in range(source.randint(3, 7))) for _ in range(40))]


def align(transform: Path | None) -> list[tuple[Matrix, Phones]]:
    """Every text in every voice as cepstra and the phones in them; those that cannot be aligned are left out."""
    found: list[tuple[Matrix, Phones]] = []
    front_end = decoding.Decoder(build_grammar(None, read_dictionary()))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as logs:
        options = {} if transform is None else {"mllr": str(transform)}
        decoder = pocketsphinx.Decoder(
            hmm=decoding._model(Path(folder)), lm=None, samprate=decoding.MODEL_RATE_HZ, loglevel="FATAL",
            mfclogdir=logs, **options,
        )  # fmt: skip
        for text in texts():
            for voice, rate_wpm, pitch in VOICES:
                pcm = PAUSE + espeak.voice.render(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch) + PAUSE
                audio = front_end._widened(np.frombuffer(pcm, dtype="<i2")).tobytes()
                phones = _phones(decoder, text, audio)
                newest = max(Path(logs).iterdir())
                if phones:
                    found.append((np.frombuffer(newest.read_bytes()[4:], ">f4").reshape(-1, WIDTH).astype(np.float64), phones))
                for file in Path(logs).iterdir():
                    file.unlink()
    return found


def _phones(decoder: pocketsphinx.Decoder, text: str, audio: bytes) -> Phones:
    try:
        decoder.set_align_text(text)
        for second_pass in (False, True):
            if second_pass:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(audio, full_utt=True)
            decoder.end_utt()
        return [(phone.name, phone.start, phone.duration) for word in decoder.get_alignment() for phone in word]
    except (RuntimeError, TypeError):
        return []  # pocketsphinx found no way through the text


def features(cepstra: Matrix) -> list[Matrix]:
    """The model's three streams, as pocketsphinx makes them (``1s_c_d_dd``), the utterance's mean taken off."""
    count = len(cepstra)
    padded = np.pad(cepstra - cepstra.mean(axis=0), ((3, 3), (0, 0)), "edge")

    def at(offset: int) -> Matrix:
        return padded[3 + offset : 3 + offset + count]

    return [at(0), at(2) - at(-2), (at(3) - at(-1)) - (at(1) - at(-3))]


def estimate(model: Model, aligned: list[tuple[Matrix, Phones]]) -> list[Matrix]:
    """For each stream the 13 rows of (offset, 13 factors) under which the aligned speech is likeliest."""
    transforms = [np.hstack([np.zeros((WIDTH, 1)), np.eye(WIDTH)]) for _ in range(3)]
    spoken = [(features(cepstra), phones) for cepstra, phones in aligned]
    for _ in range(ITERATIONS):
        for stream, transform in enumerate(transforms):
            means, variances = model.means[stream], model.variances[stream]
            moved = np.einsum("ij,pdj->pdi", transform[:, 1:], means) + transform[:, 0]
            weight, total = np.zeros(means.shape[:2]), np.zeros(means.shape)
            for streams, phones in spoken:
                for name, first, frames in phones:
                    phone = model.index[name]
                    seen = streams[stream][first : first + frames]
                    share = _posteriors(seen, moved[phone], variances[phone])
                    weight[phone] += share.sum(axis=0)
                    total[phone] += share.T @ seen
            transforms[stream] = _solve(means, variances, weight, total)
    return transforms


def _posteriors(seen: Matrix, means: Matrix, variances: Matrix) -> Matrix:
    """(frames, densities): how likely each density made each frame."""
    score = -0.5 * (((seen[:, None] - means) ** 2 / variances).sum(axis=2) + np.log(variances).sum(axis=1))
    share = np.exp(score - score.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def _solve(means: Matrix, variances: Matrix, weight: Matrix, total: Matrix) -> Matrix:
    extended = np.concatenate([np.ones((*weight.shape, 1)), means], axis=2).reshape(-1, WIDTH + 1)
    rows = []
    for row in range(WIDTH):
        precision = 1.0 / variances[:, :, row].reshape(-1)
        left = (extended * (weight.reshape(-1) * precision)[:, None]).T @ extended
        right = (total[:, :, row].reshape(-1) * precision) @ extended
        rows.append(np.linalg.solve(left, right))
    return np.array(rows)


def write(transforms: list[Matrix], path: Path) -> None:
    """pocketsphinx's format: one class, three streams, each with its matrix, offsets and (unused) variance factors."""
    lines = ["1", "3"]
    for transform in transforms:
        lines += [str(WIDTH), *(" ".join(f"{value:.6f}" for value in row) for row in transform[:, 1:])]
        lines += [" ".join(f"{value:.6f}" for value in transform[:, 0]), " ".join(["1.0"] * WIDTH)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def main() -> None:
    model = Model(Path(pocketsphinx.get_model_path("en-us/en-us")))
    target = Path(decoding.__file__).with_name("telephone.mllr")
    with tempfile.TemporaryDirectory() as folder:
        transform: Path | None = None
        for number in range(ROUNDS):
            aligned = align(transform)
            sys.stdout.write(f"round {number + 1}: {len(aligned)} of {len(texts()) * len(VOICES)} utterances aligned\n")
            transform = Path(folder) / f"{number}.mllr"
            write(estimate(model, aligned), transform)
        target.write_bytes(transform.read_bytes() if transform else b"")
    sys.stdout.write(f"written: {target.name}\n")


if __name__ == "__main__":
    main()
