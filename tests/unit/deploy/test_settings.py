"""Settings from the environment, secrets also from files."""

from pathlib import Path

import pytest

from deploy.local.settings import SettingError, describe_url, read_setting


def test_setting_comes_from_the_environment() -> None:
    assert read_setting("NEXUS_X", {"NEXUS_X": "1"}) == "1"
    assert read_setting("NEXUS_X", {"NEXUS_X": ""}) is None


def test_setting_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    assert read_setting("NEXUS_X", {"NEXUS_X_FILE": str(tmp_path / "secret")}) == "s3cret"


def test_setting_given_twice_is_refused() -> None:
    with pytest.raises(SettingError, match="NEXUS_X and NEXUS_X_FILE are both set"):
        read_setting("NEXUS_X", {"NEXUS_X": "1", "NEXUS_X_FILE": "f"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SettingError, match=r"NEXUS_X_FILE: .*missing cannot be read"):
        read_setting("NEXUS_X", {"NEXUS_X_FILE": str(missing)})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@db:5432/nexus", "postgresql://u@db:5432/nexus"),
        ("postgresql://db/nexus", "postgresql://db/nexus"),
        ("mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:1883"),
        ("postgresql://u:p@ss@db/nexus", "postgresql://u@db/nexus"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert describe_url(url) == shown
