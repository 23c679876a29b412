"""Which of a flow's audio files are not where the switch will look for them.

Owns the check of a prompt folder against a published flow, and the words that name a file. Reads the folder, writes
nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from callflows.definition.flow import UNSPOKEN, FlowVersion, Phrase, SystemPhrases

# A WAV file of this size or less is a header without a sound: FreeSWITCH answers FILE NOT FOUND to it.
WAV_HEADER_BYTES = 44


def phrases_in_use(flow: FlowVersion) -> tuple[tuple[str, Phrase], ...]:
    """Every phrase that a call of this version may play, with the place in the flow that plays it."""
    system = [(name.replace("_", " "), getattr(flow.system, name)) for name in SystemPhrases.__struct_fields__]
    menus = [
        (f"{what} of intent {intent.name}", phrase)
        for intent in flow.intents
        for what, phrase in (("menu", intent.menu), ("confirming question", intent.confirm))
    ]
    asks = [
        (f"{how} slot {slot.name}", phrase)
        for slot in flow.slots
        for how, phrase in (("asking for", slot.ask), ("asking by keypad for", slot.ask_keypad))
    ]
    spoken = [(f"spoken piece {words!r}", phrase) for words, phrase in flow.phrases.items()]
    # An older version has no confirming questions, and never asks them.
    return tuple(item for item in (*system, *menus, *asks, *spoken) if item[1] != UNSPOKEN)


def missing_files(flow: FlowVersion, prompt_dir: Path) -> list[str]:
    """One line for each file that is missing or holds no sound: its name, where the flow uses it, and its words."""
    sizes = _sizes(prompt_dir)
    missing: dict[str, str] = {}
    for place, phrase in phrases_in_use(flow):
        if sizes.get(phrase.file, 0) <= WAV_HEADER_BYTES:
            state = "holds no sound" if phrase.file in sizes else "is missing"
            missing.setdefault(phrase.file, f"{phrase.file or '(no file)'} {state} ({place}: {phrase.text!r})")
    return list(missing.values())


def _sizes(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
