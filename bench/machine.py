"""What a benchmark's figures were measured on."""

import os
import platform


def describe_machine() -> dict[str, object]:
    """Return the ``machine`` part of a benchmark's result."""
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": os.getloadavg()[0],
    }
