"""The codec benchmark's work, done by other Sparkplug libraries in environments of their own."""

import json
import subprocess
from pathlib import Path
from typing import Final

import click

from tests.interop.installation import NotInstalledError, WithheldError, python_peer

_SCRIPTS: Final = Path(__file__).parent / "peers"
_PEERS: Final = ("pysparkplug", "mqtt-spb-wrapper")


def measure_peers(metrics: int, seconds: float) -> dict[str, dict[str, float]]:
    """Measure every peer that can be had, one after the other.

    Args:
        metrics: in a payload.
        seconds: for each figure.

    Returns:
        Peer → ``encode`` and ``read`` → metrics a second; nothing of a peer that cannot be
        installed here, which is said on stderr.
    """
    figures: dict[str, dict[str, float]] = {}
    for peer in _PEERS:
        name = peer.replace("-", "_")
        try:
            python = python_peer(peer)
        except (NotInstalledError, WithheldError) as error:
            click.echo(f"{peer} is left out: {error}", err=True)
            continue
        done = subprocess.run(
            [python, _SCRIPTS / f"{name}_codec.py", str(metrics), str(seconds)],
            check=True,
            stdout=subprocess.PIPE,
            timeout=60 + 10 * seconds,
        )
        figures[name] = json.loads(done.stdout)
    return figures
