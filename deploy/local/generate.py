"""Write the protobuf modules from their schema: ``./nexus generate``.

The generated files are committed, so that running the suite needs no compiler; a test regenerates
them and compares.
"""

import sys
from importlib import resources
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Path("proto/sparkplug_b.proto")
GENERATED = (Path("proto/sparkplug_b_pb2.py"), Path("proto/sparkplug_b_pb2.pyi"))


def generate_into(directory: Path) -> None:
    """Compile the schema; the files land below ``directory`` at their paths in the repository.

    Raises:
        click.ClickException: the compiler is not installed, or refused the schema.
    """
    try:
        from grpc_tools import protoc  # noqa: PLC0415  # a tool of development, absent at run time
    except ModuleNotFoundError as error:
        raise click.ClickException(
            "grpcio-tools is not installed, expected the test requirements in the environment"
        ) from error
    include = resources.files("grpc_tools") / "_proto"
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={include}",
            f"--plugin=protoc-gen-mypy={plugin}",
            f"--python_out={directory}",
            f"--mypy_out=quiet:{directory}",
            str(ROOT / SCHEMA),
        ]
    )
    if status != 0:
        raise click.ClickException(f"{SCHEMA}: the compiler ended with {status}, expected 0")


@click.command()
def generate() -> None:
    """Write proto/sparkplug_b_pb2.py and .pyi from proto/sparkplug_b.proto."""
    generate_into(ROOT)
    for path in GENERATED:
        click.echo(f"wrote {path}", err=True)
