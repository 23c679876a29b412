"""The data folder: private, locked, with secrets that last and a runtime folder that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.launcher.data_folder import SECRETS_FILE, DataFolder
from console.launcher.errors import StartError


def test_it_is_its_owners_alone_even_if_it_was_open_before(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with DataFolder(data):
        assert data.stat().st_mode & 0o777 == 0o700


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        first = folder.secrets()
        assert folder.secrets() == first
    assert (tmp_path / SECRETS_FILE).stat().st_mode & 0o777 == 0o600
    assert set(first) == {
        "LIFELINE_SECRET_KEY",
        "LIFELINE_MEDIA_SECRET",
        "LIFELINE_SECRET_SWITCH_PASSWORD",
        "admin_password",
    }
    assert len(set(first.values())) == 4


def test_a_new_secret_is_added_to_those_kept(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text(json.dumps({"admin_password": "kept"}))
    with DataFolder(tmp_path) as folder:
        assert folder.secrets()["admin_password"] == "kept"
        assert folder.secrets()["LIFELINE_SECRET_KEY"]


@pytest.mark.parametrize("text", ["", "[]", '{"admin_password": 1}'])
def test_damaged_secrets_are_refused_rather_than_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / SECRETS_FILE).write_text(text)
    with DataFolder(tmp_path) as folder, pytest.raises(StartError, match="is damaged"):
        folder.secrets()
    assert (tmp_path / SECRETS_FILE).read_text() == text


def test_a_folder_that_cannot_be_made_is_refused_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="LIFELINE_DATA_DIR"):
        DataFolder(tmp_path / "file" / "data").open()


def test_a_second_user_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with DataFolder(tmp_path), pytest.raises(StartError, match="runs already"):
        DataFolder(tmp_path).open()
    with DataFolder(tmp_path):
        pass


def test_sockets_get_a_short_private_path_wherever_the_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with DataFolder(deep / "data") as folder:
        runtime = folder.make_runtime()
        assert len(str(runtime / "redis-volatile.sock")) < 100
        assert runtime.stat().st_mode & 0o777 == 0o700
    assert not runtime.exists()
