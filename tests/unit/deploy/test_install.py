"""What the launcher decides before anything is installed."""

from pathlib import Path

import pytest

from deploy.local.install import Wanted, explain_pip, read_wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], Wanted("runtime", console=False)),
        (["edge", "--config", "plant.toml"], Wanted("runtime", console=False)),
        (["host", "--port", "8080"], Wanted("runtime", console=True)),
        (["demo"], Wanted("demo", console=True)),
        (["--log-level", "debug", "demo", "--seconds", "5"], Wanted("demo", console=True)),
        (["--log-format=json", "historian"], Wanted("runtime", console=False)),
        (["test", "tests/unit"], Wanted("test", console=True)),
        (["demo", "--help"], Wanted("runtime", console=False)),
        (["lock"], Wanted("test", console=False)),
    ],
)
def test_command_line_tells_what_must_be_there(arguments: list[str], wanted: Wanted) -> None:
    assert read_wanted(arguments) == wanted


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("Retrying ... Temporary failure in name resolution", "Check the network"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "not the one that the lock file names"),
        ("OSError: [Errno 28] No space left on device", "Make room"),
        ("ERROR: something else\n", "  | ERROR: something else"),
    ],
)
def test_a_failed_installation_says_what_to_do(output: str, advice: str) -> None:
    message = explain_pip(output, Path("pip.log"))
    assert advice in message
    assert message.endswith("pip.log")
