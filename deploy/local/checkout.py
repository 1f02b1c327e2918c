"""Where the checkout is and what it says of itself."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".nexus"
"""What the suite keeps on this machine: logs of installations, caches; never committed."""


def read_version() -> str:
    """Return the version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])
