"""Puts the historian together and runs it: schema first, then receive, decode, write, report.

While the database is away at the start, messages are received and wait in the buffer.
"""

import asyncio
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog

from historian.acknowledge import Acknowledgements
from historian.backoff import Backoff
from historian.counters import Counters
from historian.database import Connection
from historian.errors import StorageUnavailable
from historian.inbox import Inbox
from historian.ingest import Ingest, now_ms
from historian.maintenance import Maintenance
from historian.mqtt_link import MqttLink
from historian.packer import Packer
from historian.probes import Probes
from historian.registry import Registry
from historian.resolve import ResolveOptions, Resolver
from historian.rollups import Rollups
from historian.rows import Rows
from historian.schema.migrate import migrate
from historian.schema.server import DatabaseServer
from historian.settings import Settings
from historian.side_tables import SideTables
from historian.statements import CHECK_SETUP
from historian.values import Bounds
from historian.writer import Writer, WriterOptions
from proto.control.status import HistorianStatus
from proto.control.topics import acknowledgement_topic, historian_status_topic
from proto.sparkplug.codec import Metric, Payload, encode_payload
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import REBIRTH
from proto.sparkplug.topics import NAMESPACE, MessageType, NodeId, format_topic

_FINAL_STATUS_S: Final = 3.0
_ACKNOWLEDGE_S: Final = 0.25

log = structlog.get_logger(__name__)


class Historian:
    """One historian process.

    Attributes:
        counters: what it has done so far.
        server: the database server, once it answered.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started_ms = now_ms()
        self.counters = Counters()
        self.server: DatabaseServer | None = None
        self._connections: list[Connection] = []
        self._inbox = Inbox(settings.buffer_bytes)
        self._registry = registry = Registry(self._connect("registry", ()))
        self._resolver = Resolver(
            registry.ids, ResolveOptions(check_sequence=settings.share is None)
        )
        self._side = SideTables(self._connect("side", CHECK_SETUP))
        self._rollups = Rollups(self._connect("rollups", ()))
        self._acknowledgements = Acknowledgements(settings.historian_id)
        self._writer = Writer(
            connect=self._connect,
            counters=self.counters,
            on_commit=self._note_commit,
            on_receipts=self._acknowledgements.add,
            options=WriterOptions(lanes=settings.lanes, shared=settings.share is not None),
        )
        packer = Packer(Bounds(settings.oldest_ms, settings.ahead_ms))
        self._ingest = Ingest(
            inbox=self._inbox,
            resolver=self._resolver,
            registry=registry,
            packer=packer,
            writer=self._writer,
            counters=self.counters,
            ask_rebirth=self._ask_rebirth,
            take_notes=self._side.take_notes,
        )
        self._link = MqttLink(
            broker=settings.broker,
            client_id=f"nexus-historian-{settings.historian_id}",
            password=settings.mqtt_password,
            filters=list_filters(settings.share),
            on_message=self._ingest.receive,
            on_connected=self._ingest.note_connection,
        )

    @property
    def is_receiving(self) -> bool:
        """Whether messages arrive from the broker now."""
        return self._link.connected.is_set()

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until ``stop`` is set, then store what was received.

        Returns:
            Whether everything received is stored.

        Raises:
            SchemaMismatch: the database's schema is not one that this version can write.
        """
        try:
            return await self._run(stop)
        finally:
            for connection in self._connections:
                await connection.close()

    async def _run(self, stop: asyncio.Event) -> bool:
        stopping = asyncio.create_task(stop.wait())
        async with asyncio.TaskGroup() as tasks:
            links = tasks.create_task(self._link.run())
            status = tasks.create_task(self._report())
            receipts = tasks.create_task(self._acknowledge())
            probes = tasks.create_task(self._serve_probes())
            work = tasks.create_task(self._work())
            await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            complete = await self._drain() if not work.done() else False
            status.cancel()
            receipts.cancel()
            self._send_acknowledgements()
            await self._say_status()
            await self._link.leave()
            for task in (links, work, probes):
                task.cancel()
        log.info(
            "historian_stopped",
            stored=self.counters.points_stored,
            duplicate=self.counters.points_duplicate,
            dropped=self.counters.points_dropped,
            messages_missed=self.counters.messages_missed,
        )
        return complete

    async def _work(self) -> None:
        await self._prepare_schema()
        self._resolver.absences.recall(await self._registry.read_sights())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run())
            tasks.create_task(self._side.run())
            tasks.create_task(self._ingest.run())
            tasks.create_task(self._ingest.run_ticks())
            tasks.create_task(self._rollups.run())
            tasks.create_task(Maintenance(self._connect("maintenance", ())).run())

    async def _prepare_schema(self) -> None:
        backoff = Backoff()
        while True:
            try:
                self.server = server = await asyncio.to_thread(migrate, self._settings.database_url)
            except StorageUnavailable as error:
                tell = log.debug if backoff.failures else log.error
                tell("database_away", reason=str(error), advice="messages wait, trying again")
                await asyncio.sleep(backoff.fail())
            else:
                self._writer.store.direct_compress = server.direct_compress
                self._rollups.are_continuous = server.continuous_aggregates
                log.info(
                    "database_ready",
                    edition=server.edition,
                    postgresql=server.postgres,
                    timescaledb=server.timescale,
                    samples=server.samples_are,
                    direct_compress=server.direct_compress,
                    continuous_aggregates=server.continuous_aggregates,
                )
                return

    async def _drain(self) -> bool:
        """Store what was received; nothing more is taken."""
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await self._link.stop_receiving()
                await self._ingest.drain()
                self._ingest.give_up_waiting()
                await self._writer.drain()
                await self._side.drain()
        except TimeoutError:
            log.error(  # noqa: TRY400  # the reason says it all
                "stopped_with_backlog",
                points=self.counters.points_pending,
                messages=len(self._inbox),
                reason=self._writer.away or "not finished in time",
            )
            return False
        return True

    # What goes out.

    def _note_commit(self, rows: Rows) -> None:
        self._side.take_latest(rows)
        self._rollups.take(rows)

    def _connect(self, name: str, setup: Sequence[str]) -> Connection:
        full_name = f"nexus-historian-{self._settings.historian_id}-{name}"
        connection = Connection(self._settings.database_url, full_name, setup)
        self._connections.append(connection)
        return connection

    def _ask_rebirth(self, node: NodeId) -> None:
        command = Payload(
            timestamp_ms=now_ms(),
            metrics=(Metric(name=REBIRTH, datatype=DataType.BOOLEAN, value=True),),
        )
        log.info("rebirth_requested", node=str(node))
        self._link.publish(format_topic(MessageType.NCMD, node), encode_payload(command))

    def status(self) -> HistorianStatus:
        """What the status topic says now."""
        counters = self.counters
        if self.server is None:
            database = "connecting"
        else:
            database = self.server.edition if self._writer.away is None else "away"
        return HistorianStatus(
            timestamp_ms=now_ms(),
            version=_version(),
            started_ms=self._started_ms,
            database=database,
            points_received=counters.points_received,
            points_stored=counters.points_stored,
            points_duplicate=counters.points_duplicate,
            points_dropped=counters.points_dropped,
            backlog_points=counters.points_pending,
            backlog_bytes=self._inbox.size + self._writer.size + self._resolver.held_bytes,
            messages_missed=counters.messages_missed,
            payloads_rejected=counters.payloads_rejected,
        )

    async def _report(self) -> None:
        while True:
            await self._link.connected.wait()
            await self._say_status()
            await asyncio.sleep(self._settings.status_interval_s)

    def explain_unready(self) -> str | None:
        """Why values do not get from the broker into the database now; ``None`` when they do."""
        if not self.is_receiving:
            return f"broker {self._settings.broker.url} is not connected"
        if self.server is None:
            return "database is not connected yet"
        if self._writer.away is not None:
            return f"database is away: {self._writer.away}"
        return None

    async def _serve_probes(self) -> None:
        settings = self._settings
        if settings.metrics_port is not None:
            await Probes(self.status, self.explain_unready).run(
                settings.metrics_bind,
                settings.metrics_port,
                lambda port: log.info("metrics_served", address=f"{settings.metrics_bind}:{port}"),
            )

    async def _acknowledge(self) -> None:
        while True:
            await asyncio.sleep(_ACKNOWLEDGE_S)
            self._send_acknowledgements()

    def _send_acknowledgements(self) -> None:
        # Without a connection they are lost: the node sends again, and is told again.
        for node, message in self._acknowledgements.take(now_ms()):
            topic = acknowledgement_topic(self._settings.topic_prefix, node)
            self._link.publish(topic, message.model_dump_json().encode(), qos=1)

    async def _say_status(self) -> None:
        settings = self._settings
        topic = historian_status_topic(settings.topic_prefix, settings.historian_id)
        try:
            async with asyncio.timeout(_FINAL_STATUS_S):
                await self._link.say(topic, self.status().model_dump_json().encode(), retain=True)
        except TimeoutError:
            log.debug("status_not_acknowledged", topic=topic)


def list_filters(share: str | None) -> list[tuple[str, int]]:
    """Topic filters and QoS: everything, or every birth and death and a share of the data.

    A member of a share sees each birth before the data that follows it, as the broker sends what
    it got in its order; gaps in the sequence numbers mean nothing to it.
    """
    if share is None:
        return [(f"{NAMESPACE}/#", 0)]
    lives = [f"{NAMESPACE}/+/{kind}/+" for kind in ("NBIRTH", "NDEATH")]
    lives += [f"{NAMESPACE}/+/{kind}/+/+" for kind in ("DBIRTH", "DDEATH")]
    data = [f"{NAMESPACE}/+/NDATA/+", f"{NAMESPACE}/+/DDATA/+/+"]
    return [(topic, 0) for topic in (*lives, *(f"$share/{share}/{topic}" for topic in data))]


def _version() -> str:
    try:
        return version("nexus-edge")
    except PackageNotFoundError:
        return "0.1.0"
