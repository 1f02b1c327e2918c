"""When the console is built again, and with which Node."""

from pathlib import Path

import pytest

from deploy.local import console_build
from deploy.local.console_build import (
    ConsoleError,
    fingerprint_sources,
    is_new_enough,
    needs_console,
    parse_node_version,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [("v20.20.2\n", (20, 20)), ("v24.0.0-nightly", (24, 0)), ("", (0, 0)), ("20", (0, 0))],
)
def test_node_tells_its_version(text: str, version: tuple[int, int]) -> None:
    assert parse_node_version(text) == version


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ((0, 0), False),
        ((18, 20), False),
        ((20, 18), False),
        ((20, 19), True),
        ((21, 9), False),
        ((22, 11), False),
        ((22, 12), True),
        ((24, 0), True),
    ],
)
def test_node_must_be_one_that_the_bundler_runs_on(version: tuple[int, int], enough: bool) -> None:
    assert is_new_enough(version) is enough


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ui = tmp_path / "ui"
    (ui / "src").mkdir(parents=True)
    (ui / "package.json").write_text("{}")
    (ui / "src" / "main.ts").write_text("start();")
    monkeypatch.setattr(console_build, "SOURCES", ui)
    monkeypatch.setattr(console_build, "BUILT", tmp_path / "static")
    monkeypatch.setattr(console_build, "_STAMP", tmp_path / "static" / ".sources")
    monkeypatch.setattr(console_build, "LOG", tmp_path / "npm.log")
    return ui


def test_fingerprint_follows_sources_and_not_installed_packages(sources: Path) -> None:
    before = fingerprint_sources()
    (sources / "node_modules").mkdir()
    (sources / "node_modules" / "vue.js").write_text("…")
    assert fingerprint_sources() == before
    (sources / "src" / "main.ts").write_text("start(2);")
    assert fingerprint_sources() != before


def test_console_is_built_when_missing_and_when_its_sources_changed(sources: Path) -> None:
    built = sources.parent / "static"
    assert needs_console()
    built.mkdir()
    (built / ".sources").write_text(fingerprint_sources())
    assert not needs_console()
    (sources / "src" / "more.ts").write_text("")
    assert needs_console()


def test_a_distribution_without_sources_needs_no_build(sources: Path) -> None:
    (sources / "package.json").unlink()
    assert not needs_console()


def test_a_failed_build_names_npms_last_words_and_its_log(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = sources.parent / "bin"
    programs.mkdir()
    (programs / "node").write_text("#!/bin/sh\necho v24.0.0\n")
    (programs / "npm").write_text("#!/bin/sh\necho 'npm error code ENOTFOUND'\nexit 1\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(ConsoleError, match=r"registry could not be reached.*\n.*npm\.log"):
        console_build.build_console(sources.parent, lambda _: None)
