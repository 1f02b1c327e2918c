"""Write the protobuf modules from their schemas: ``./nexus generate``.

The generated files are committed, so that running the suite needs no compiler; a test regenerates
them and compares.
"""

import sys
from importlib import resources
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = (Path("proto/sparkplug_b.proto"), Path("proto/sparkplug_envelope.proto"))
GENERATED = tuple(
    schema.with_name(f"{schema.stem}_pb2{ending}")
    for schema in SCHEMAS
    for ending in (".py", ".pyi")
)


def generate_into(directory: Path) -> None:
    """Compile the schemas; the files land below ``directory`` at their paths in the repository.

    Raises:
        click.ClickException: the compiler is not installed, or refused a schema.
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
            *(str(ROOT / schema) for schema in SCHEMAS),
        ]
    )
    if status != 0:
        names = ", ".join(map(str, SCHEMAS))
        raise click.ClickException(f"{names}: the compiler ended with {status}, expected 0")


@click.command()
def generate() -> None:
    """Write proto/*_pb2.py and .pyi from proto/*.proto."""
    generate_into(ROOT)
    for path in GENERATED:
        click.echo(f"wrote {path}", err=True)
