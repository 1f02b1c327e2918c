"""Whatever arrives on the topics ends in a payload or a PayloadError, within bounded memory."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MUTATIONS = int(os.environ.get("NEXUS_TEST_FUZZ_MUTATIONS", "1000000"))


@pytest.mark.timeout(60 + MUTATIONS / 10_000)
def test_damaged_payloads_end_in_a_payload_or_a_payload_error_within_bounded_memory() -> None:
    seed = secrets.randbelow(2**32)
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "fuzz_payloads.py", str(MUTATIONS), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-4000:]}"
    found = re.fullmatch(r"(\d+) decoded, (\d+) refused\n", done.stdout)
    assert found is not None, done.stdout
    assert min(map(int, found.groups())) > MUTATIONS // 20, "expected both ends to be met"
