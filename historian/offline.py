"""Commands that work on the historian's database alone: migrate, report, export, import."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

from historian.descriptions import find_file
from historian.errors import ConfigError, HistorianError
from historian.report import MOST_BYTES, describe_report, read_report
from historian.schema.access import Access
from historian.schema.migrate import give_access
from historian.schema.migrate import migrate as bring_up_to_date
from historian.selection import Selection
from historian.settings import read_database_url
from historian.transfer import count_samples, export_csv, import_csv

_USAGE = 2
_PARQUET = ".parquet"
_EVER = datetime(9999, 1, 1, tzinfo=UTC)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        click.echo(f"historian: {error}", err=True)
        raise SystemExit(_USAGE) from error
    except HistorianError as error:
        click.echo(f"historian: {error}", err=True)
        raise SystemExit(1) from error


@click.command()
@click.option(
    "--writer", "writers", metavar="ROLE", multiple=True, help="May do what historians do."
)
@click.option("--reader", "readers", metavar="ROLE", multiple=True, help="May read; for Grafana.")
def migrate(writers: tuple[str, ...], readers: tuple[str, ...]) -> None:
    """Create or upgrade the schema, and give roles access to it.

    Run it as the owner of the schema: whoever runs it first. A role that is missing is made, as one
    that accounts are members of: CREATE ROLE grafana LOGIN PASSWORD '...' IN ROLE the_reader.
    Whom it gave access keeps it over upgrades.
    """
    with _told():
        url = read_database_url()
        server = bring_up_to_date(url)
        click.echo(f"{server.edition}: the schema is up to date", err=True)
        asked: list[tuple[tuple[str, ...], Access]] = [(writers, "writer"), (readers, "reader")]
        for roles, access in asked:
            for role in roles:
                made = give_access(url, role, access)
                click.echo(f"{role} is a {access}{', made now' if made else ''}", err=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Metrics to name, those that take most first.",
)
@click.option("--exact", is_flag=True, help="Count every row, however long it takes.")
def report(as_json: bool, limit: int, exact: bool) -> None:
    """Tell how many samples there are and what they take on disk, metric by metric.

    Of a columnstore one row in a thousand is read. Rows that are not in one are counted while they
    take no more than a GiB together; of more, some pages are read by chance, and the figures are
    said to be estimated.
    """
    with _told():
        url = read_database_url()
        with click.progressbar(length=0, label="report", file=sys.stderr) as bar:

            def progress(read: int, parts: int) -> None:
                bar.length = parts
                bar.update(read - bar.pos)

            found = read_report(
                url, limit, most_bytes=None if exact else MOST_BYTES, progress=progress
            )
    if as_json:
        click.echo(json.dumps(describe_report(found)))
        return
    per_point = "" if found.bytes_per_point is None else f", {found.bytes_per_point:.1f} a sample"
    about = "about " if found.estimated else ""
    click.echo(f"{about}{found.points:,} samples, {found.bytes:,} bytes on disk{per_point}")
    click.echo(f"{found.moved_points:,} of them in the columnstore")
    click.echo(f"from {found.oldest or '-'} to {found.newest or '-'}")
    if found.metrics:
        click.echo(f"{'bytes':>18}{'samples':>16}{'bytes each':>12}  metric")
    for metric in found.metrics:
        each = f"{metric.bytes_per_point:.1f}"
        name = f"{metric.metric} ({metric.datatype})"
        click.echo(f"{metric.bytes:>18,}{metric.points:>16,}{each:>12}  {name}")


@click.command(name="export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--like", "pattern", default="%", show_default=True, help="group/edge/device/name.")
@click.option("--from", "low", type=click.DateTime(), help="First moment, UTC; all when absent.")
@click.option("--to", "high", type=click.DateTime(), help="First moment left out, UTC.")
def export(file: Path, pattern: str, low: datetime | None, high: datetime | None) -> None:
    """Write samples to a CSV file, or to Parquet when it is called *.parquet.

    Metrics are chosen by a pattern with % and _ as in SQL. What they are (unit, limits and so on)
    goes into a second CSV, samples.metrics.csv beside samples.csv, or into the schema of the
    Parquet, which needs the extra "parquet".
    """
    selection = Selection(
        pattern,
        datetime(1, 1, 1, tzinfo=UTC) if low is None else low.replace(tzinfo=UTC),
        _EVER if high is None else high.replace(tzinfo=UTC),
    )
    with _told():
        url = read_database_url()
        parquet = _load_parquet() if file.suffix == _PARQUET else None
        count = count_samples(url, selection)
        with click.progressbar(length=count + 1, label="export", file=sys.stderr) as bar:
            if parquet is not None:
                parquet.export_parquet(url, selection, file, bar.update)
            else:
                export_csv(url, selection, file, bar.update)
    beside = None if parquet is not None else find_file(file)
    told = "" if beside is None else f", their metrics in {beside}"
    click.echo(f"{count:,} samples in {file}{told}", err=True)


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Store the samples of an exported file; those that are there already are left out.

    Units, limits and descriptions come along where the database does not know them: from the
    second file beside a CSV, or from the Parquet.
    """
    with _told():
        url = read_database_url()
        parquet = _load_parquet() if file.suffix == _PARQUET else None
        length = file.stat().st_size if parquet is None else parquet.count_rows(file)
        with click.progressbar(length=length, label="import", file=sys.stderr) as bar:
            if parquet is not None:
                found, new = parquet.import_parquet(url, file, bar.update)
            else:
                found, new = import_csv(url, file, bar.update)
    click.echo(f"{found:,} samples read, {new:,} of them new", err=True)


def _load_parquet() -> ModuleType:
    # Most never need it, and it is as large as everything else together.
    try:
        return import_module("historian.parquet")
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"Parquet needs {exc.name}, found none, expected it installed:"
            " pip install 'nexus-edge[parquet]'"
        ) from exc
