"""The launcher: from a checkout to a running command, and what it says when that cannot be."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.ports import find_free_port

ROOT = Path(__file__).resolve().parents[2]


def launch(
    nexus: Path, *arguments: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NEXUS_", "PIP_"))}
    return subprocess.run(
        [str(nexus), *arguments],
        env={**kept, **environment},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a checkout that was never started."""
    for name in ("nexus", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    return tmp_path


def test_launcher_works_from_anywhere_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "nexus"
    link.symlink_to(ROOT / "nexus")
    run = launch(link, "--version")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("nexus, version ")


def test_the_users_folder_is_not_searched_for_modules(tmp_path: Path) -> None:
    for package in ("deploy", "proto", "click"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('not ours')\n")
    run = launch(ROOT / "nexus", "--version", cwd=tmp_path)
    assert run.returncode == 0, run.stderr


def test_missing_python_is_told_with_what_to_do() -> None:
    run = launch(ROOT / "nexus", "--version", NEXUS_PYTHON="python-that-is-not-there")
    assert run.returncode == 1
    assert "no Python of version 3.11 or newer was found" in run.stderr
    assert "apt-get install python3" in run.stderr


def test_unreachable_package_index_is_told_and_pips_words_are_kept(checkout: Path) -> None:
    index = f"http://127.0.0.1:{find_free_port()}/simple"
    run = launch(checkout / "nexus", "--version", PIP_INDEX_URL=index, PIP_NO_CACHE_DIR="1")
    assert run.returncode == 1
    assert "the package index could not be reached" in run.stderr
    assert (checkout / ".nexus/log/pip.log").read_text()


def test_python_without_venv_is_told_which_package_brings_it(checkout: Path) -> None:
    (checkout / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')\n")
    run = launch(checkout / "nexus", "--version")
    assert run.returncode == 1
    assert "cannot make virtual environments" in run.stderr
    assert "-venv)" in run.stderr


def test_wrong_usage_exits_with_2() -> None:
    run = launch(ROOT / "nexus", "nope")
    assert run.returncode == 2
    assert "No such command 'nope'" in run.stderr
