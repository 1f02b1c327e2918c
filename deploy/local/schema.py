"""``./nexus schema``: the JSON Schema of the documents, for editors, forms and other tools."""

import json

import click

from proto.control.schemas import DOCUMENTS, make_schema


@click.command()
@click.argument("document", type=click.Choice(list(DOCUMENTS)), required=False)
def schema(document: str | None) -> None:
    """Print the JSON Schema of a DOCUMENT; of all, by name, where none is given."""
    found = {name: make_schema(name) for name in DOCUMENTS} if document is None else None
    click.echo(json.dumps(found or make_schema(str(document)), indent=2, ensure_ascii=False))
