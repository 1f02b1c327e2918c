"""What the tests need beyond Python packages: a broker, a browser, databases.

Brought by Debian's package manager where this is Debian and we are root; elsewhere what is missing
is named with the reason.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping

from deploy.local.broker import find_mosquitto
from deploy.local.checkout import STATE
from deploy.local.timescale import TimescaleUnavailable, find_root, install_root

_LOG = STATE / "log" / "apt.log"


def bring_parts(say: Callable[[str], None]) -> dict[str, str]:
    """Install what is missing and can be installed; return what is still missing, with reasons."""
    wanted = missing_packages()
    why = "not installed"
    if wanted:
        why = _install(wanted, say) or why
    missing = {name: why for name in missing_packages() if name != "debootstrap"}
    if os.environ.get("NEXUS_TEST_TIMESCALE_URL"):
        return missing
    try:
        find_root()
    except TimescaleUnavailable:
        try:
            if os.geteuid() == 0 and shutil.which("debootstrap"):
                say("unpacking Debian's TimescaleDB (once; takes about a minute)")
            install_root(STATE / "log" / "debootstrap.log")
        except TimescaleUnavailable as exc:
            missing["timescaledb"] = str(exc)
    return missing


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not here."""
    found: Mapping[str, str | None] = {
        "mosquitto": find_mosquitto(),
        "chromium": shutil.which("chromium") or shutil.which("google-chrome"),
        "debootstrap": shutil.which("debootstrap", path="/usr/sbin:/usr/bin"),
    }
    return [package for package, program in found.items() if program is None]


def _install(packages: list[str], say: Callable[[str], None]) -> str | None:
    """Install Debian packages; return why it could not be done, or None."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "not installed, and this is not Debian"
    if os.geteuid() != 0:
        return f"not installed; as root: apt-get install {' '.join(packages)}"
    say(f"installing {', '.join(packages)} with apt-get")
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    # A browser without any font draws no text, which the tests read.
    fonts = ["fonts-liberation"] if "chromium" in packages else []
    install = [apt, "install", "--yes", "--no-install-recommends", *packages, *fonts]
    with _LOG.open("ab") as log:
        for argv in ([apt, "update"], install):
            status = subprocess.run(
                argv,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
            if status:
                return f"apt-get {argv[1]} ended with status {status}, its output is in {_LOG}"
    return None
