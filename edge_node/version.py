"""Which version of the suite this is, installed or run from a checkout."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def find_version() -> str:
    """Return the version, from the installed package or from the checkout's ``pyproject.toml``."""
    try:
        return version("nexus-edge")
    except PackageNotFoundError:
        path = Path(__file__).parent.parent / "pyproject.toml"
        found: str = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
        return found
