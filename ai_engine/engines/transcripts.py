"""How a transcript is written on our side: words in lower case, without the punctuation that some models add. Pure."""

from __future__ import annotations


def plain_words(transcript: str) -> str:
    """What is inside a word stays (``o'clock``, ``7.5``)."""
    return " ".join(word for word in (one.strip(".,!?;:\"'") for one in transcript.lower().split()) if word)
