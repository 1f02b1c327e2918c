"""What is committed is what the compiler makes of the schema."""

from pathlib import Path

import pytest

from deploy.local.generate import GENERATED, ROOT, generate_into


def test_generated_modules_are_those_of_the_schema(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")

    generate_into(tmp_path)

    for path in GENERATED:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), "run ./nexus generate"
