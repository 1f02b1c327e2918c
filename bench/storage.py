"""What a point of the simulated plant takes on disk, after a day of it.

The bottling line of ``./nexus simulate`` runs faster than time; what the example configuration
polls goes through the edge node's own scaling, deadbands and report by exception, is encoded as
Sparkplug, and stored through the historian's own packing and COPY, in small batches as they would
come. Then the day is moved into the columnstore, where there is one, as the historian does it a day
later. The baseline is the same points before that.

Most values that are polled are none of the points: they did not change, or not by as much as the
deadband. So bytes are told for a polled value too, and for each column of the columnstore; what is
no column's are the batches' own rows, TOAST's and the index's, and pages that are not full.
"""

import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click
import psycopg
from psycopg import sql

from bench import ingest
from deploy.local.checkout import ROOT
from deploy.local.plant.image import UnitImage
from deploy.local.plant.layout import UNITS
from deploy.local.plant.physics import Plant
from deploy.local.plant.words import from_registers
from deploy.local.process import ProcessError
from edge_node.drivers.base import PollResult, RawValue
from edge_node.drivers.modbus.points import Point, compile_points
from edge_node.pipeline.tags import DeviceTags, GroupPipeline
from historian.catalogue import read_definitions
from historian.database import Connection
from historian.packer import Packer
from historian.parts import find_parts, find_table, list_columns
from historian.registry import Registry
from historian.report import read_report
from historian.rows import Rows
from historian.schema.migrate import migrate, normalize_url
from historian.schema.server import DatabaseServer
from historian.store import SampleStore
from historian.tables import Table, make_table
from historian.values import Bounds, Live
from proto.control.modbus import ModbusDevice
from proto.control.node import NodeDocument
from proto.sparkplug.codec import (
    Metric,
    Payload,
    encode_payload,
    encode_samples,
    open_envelope,
    parse,
)
from proto.sparkplug.topics import MessageType, NodeId, Topic

EXAMPLE = ROOT / "deploy/local/plant.toml"
DAY_MS = 86_400_000
STEP_S = 0.5
BATCH_S = 10
BATCH_WINDOW_MS = 100


@dataclass(slots=True)
class Device:
    """One machine of the line: how it is polled, and its metrics in the historian.

    Attributes:
        polled: values read so far.
    """

    name: str
    tags: DeviceTags
    groups: list[tuple[GroupPipeline, list[Point], float]]
    image: UnitImage
    chance: random.Random
    table: Table | None = None
    polled: int = 0

    def poll(self, step: int, at_ms: int) -> Iterator[bytes]:
        """The payloads of one moment."""
        for group, points, interval_s in self.groups:
            if step % round(interval_s / STEP_S):
                continue
            # Polls answer when they answer, and what changed travels a little later.
            read_ms = at_ms + self.chance.randrange(2, 9)
            values = [_read(self.image, point) for point in points]
            self.polled += len(values)
            report = group.process(PollResult(read_ms, values))
            if report is None:
                continue
            samples = [
                (group.base + index + 1, group.tags[index].datatype, value, report.timestamp_ms)
                for index, value in zip(report.indices, report.values, strict=True)
            ]
            sent_ms = read_ms + BATCH_WINDOW_MS + self.chance.randrange(3)
            yield encode_samples(samples, 0, sent_ms)

    def birth(self, at_ms: int) -> bytes:
        """The DBIRTH that tells of all tags, without values."""
        metrics = (
            Metric(tag.name, tag.datatype, None, at_ms, alias=column + 1)
            for column, tag in enumerate(self.tags.tags)
        )
        return encode_payload(Payload(at_ms, 0, tuple(metrics)))


@click.command()
@click.option("--hours", type=click.IntRange(1, 24), default=24, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option(
    "--database-url",
    envvar=["NEXUS_DATABASE_URL", "NEXUS_TEST_TIMESCALE_URL"],
    help="Where to write: an empty database. An embedded PostgreSQL when absent.",
)
def main(hours: int, as_json: bool, database_url: str | None) -> None:
    """Measure bytes on disk for each point of the simulated plant."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            url = normalize_url(database_url or stack.enter_context(ingest.embedded(folder)))
            report = _run(url, hours)
    except ProcessError as error:
        raise click.ClickException(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not as_json:
        click.echo(json.dumps(report, indent=2), err=True)
    print(json.dumps(report))


def _run(url: str, hours: int) -> dict[str, object]:
    server = migrate(url)
    polled = asyncio.run(_fill(url, server, hours))
    before = read_report(url, 0)
    asyncio.run(_compress(url, server))
    after = read_report(url, 0)
    columns = _read_columns(url)
    if columns:
        columns["overhead"] = after.bytes - sum(columns.values())
    return {
        "bench": "storage",
        "figures": {
            "bytes_per_point": round(after.bytes_per_point or 0, 2),
            "points": after.points,
            "hours": hours,
            "polled_values": polled,
            "bytes_per_polled_value": round(after.bytes / polled, 2),
            "bytes_per_point_by_column": {
                name: round(size / after.points, 3) for name, size in columns.items()
            },
        },
        "baseline": {"bytes_per_point_as_it_came": round(before.bytes_per_point or 0, 2)},
        "ratio": {"as_it_came_to_moved": round(before.bytes / after.bytes, 1)},
        "machine": ingest.describe_machine(server),
    }


def _make_devices(plant: Plant) -> tuple[NodeId, list[Device]]:
    document = NodeDocument.model_validate(tomllib.loads(EXAMPLE.read_text()))
    units = {unit.unit_id: unit for unit in UNITS}
    devices = []
    for device in document.devices:
        if not isinstance(device, ModbusDevice):
            continue
        points = compile_points(device)
        tags = DeviceTags(
            device.tags, {name: [p.info for p in group] for name, group in points.items()}
        )
        intervals = {group.name: group.interval_s for group in device.poll_groups}
        unit_id = device.connection.unit_id
        devices.append(
            Device(
                device.name,
                tags,
                [(tags.groups[name], group, intervals[name]) for name, group in points.items()],
                UnitImage(units[unit_id], plant),
                random.Random(unit_id),  # noqa: S311  # the same day every time
            )
        )
    return NodeId(document.node.group, document.node.edge), devices


def _read(image: UnitImage, point: Point) -> RawValue:
    for bit in image.unit.bits:
        if (bit.table, bit.address) == (point.table.value, point.start):
            return image.bit(bit.source)
    for register in image.unit.registers:
        if (register.table, register.address) == (point.table.value, point.start):
            value = from_registers(image.registers(register), register.kind, register.order)
            return value if point.bit is None else bool(int(value) >> point.bit & 1)
    raise LookupError(f"{point.name}: {point.table.value} {point.start} is nowhere in the plant")


async def _fill(url: str, server: DatabaseServer, hours: int) -> int:
    """Store what the line has to tell.

    Returns:
        How many values were polled for it.
    """
    plant = Plant()
    node, devices = _make_devices(plant)
    start_ms = (time.time_ns() // 1_000_000 // DAY_MS - 1) * DAY_MS
    connection = Connection(url, "bench-storage")
    registry = Registry(connection)
    for device in devices:
        topic = Topic(MessageType.DBIRTH, node, device.name)
        birth = parse(device.birth(start_ms))
        await registry.describe(registry.select_new(read_definitions(topic, birth)))
        device.table = make_table(topic, birth, registry.ids)
    packer = Packer(Bounds(0, 0))
    store = SampleStore()
    store.direct_compress = server.direct_compress
    every = round(BATCH_S / STEP_S)
    steps = range(0, round(hours * 3600 / STEP_S), every)
    with click.progressbar(steps, label="the line runs", file=sys.stderr) as batches:
        for first in batches:
            lives = []
            for step in range(first, first + every):
                plant.step(STEP_S)
                at_ms = start_ms + round(step * STEP_S * 1000)
                for device in devices:
                    for data in device.poll(step, at_ms):
                        assert device.table is not None
                        lives.append(Live(device.table, open_envelope(data), data, at_ms + DAY_MS))
            rows = Rows()
            assert not packer.pack_live(rows, lives)
            assert not rows.refused, rows.fault
            assert not rows.staged
            await store.ensure_days(connection, rows.days)
            await store.copy_new(connection, rows)
    await connection.close()
    return sum(device.polled for device in devices)


async def _compress(url: str, server: DatabaseServer) -> None:
    connection = await asyncpg.connect(url, command_timeout=600)
    try:
        if server.edition == "timescaledb":
            await connection.execute(
                "SELECT compress_chunk(c) FROM show_chunks('historian.sample') AS c"
            )
    finally:
        await connection.close()


def _read_columns(url: str) -> dict[str, int]:
    """Bytes that each column of the columnstore takes; empty where there is none."""
    found: dict[str, int] = {}
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        for part in find_parts(connection):
            if part.batches is None:
                continue
            table, _ = find_table(connection, part.batches)
            for column in list_columns(connection, part.batches):
                statement = sql.SQL("SELECT coalesce(sum(pg_column_size({})), 0) FROM {}")
                row = connection.execute(statement.format(sql.Identifier(column), table)).fetchone()
                name = "batch" if column.startswith("_ts_meta") else column
                found[name] = found.get(name, 0) + (int(row[0]) if row is not None else 0)
    return found


if __name__ == "__main__":
    main()
