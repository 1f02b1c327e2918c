"""The lock files hold what pyproject.toml asks for, with hashes, and name no machine of ours."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = {
    "requirements.lock": PROJECT["dependencies"],
    "requirements-demo.lock": [*PROJECT["dependencies"], *EXTRAS["demo"]],
    "requirements-test.lock": [*PROJECT["dependencies"], *EXTRAS["demo"], *EXTRAS["test"]],
    "requirements-node.lock": EXTRAS["node"],
}


def read_pins(lock: str) -> dict[str, str]:
    """Return package → version."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", WANTED)
def test_lock_holds_every_direct_dependency(lock: str) -> None:
    names = {
        re.split(r"[\[<>=!~ ]", wanted)[0].lower().replace("_", "-") for wanted in WANTED[lock]
    }
    assert not names - read_pins(lock).keys(), "run ./nexus lock"


@pytest.mark.parametrize("lock", WANTED)
def test_lock_has_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert text.count("==") == len(read_pins(lock))
    assert all(
        "--hash=sha256:" in entry for entry in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    )
    assert "://" not in text


def test_larger_locks_hold_the_same_versions() -> None:
    runtime, demo, test = map(read_pins, list(WANTED)[:3])
    assert runtime.items() <= demo.items() <= test.items()
