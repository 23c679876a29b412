"""A prompt folder against a flow: every missing file is named, with its place and words."""

from __future__ import annotations

from pathlib import Path

from callflows.definition.files import missing_files, phrases_in_use
from tests.ivr_fallback.flows import phrase, whole_flow


def fill(folder: Path) -> None:
    for file in whole_flow().files():
        (folder / file).write_bytes(b"x" * 100)


def test_a_full_folder_lacks_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    assert missing_files(whole_flow(), tmp_path) == []


def test_a_missing_and_an_empty_file_are_named_with_place_and_words(tmp_path: Path) -> None:
    fill(tmp_path)
    gone, empty = phrase("For your balance, press 1.").file, phrase("goodbye").file
    (tmp_path / gone).unlink()
    (tmp_path / empty).write_bytes(b"x" * 44)
    assert missing_files(whole_flow(), tmp_path) == [
        f"{empty} holds no sound (goodbye: 'goodbye')",
        f"{gone} is missing (menu of intent balance: 'For your balance, press 1.')",
    ]


def test_every_file_is_missing_from_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert len(missing_files(whole_flow(), tmp_path / "no")) == len(whole_flow().files())


def test_the_phrases_in_use_are_all_of_the_flows_files() -> None:
    flow = whole_flow()
    assert {phrase.file for _, phrase in phrases_in_use(flow)} == flow.files()
