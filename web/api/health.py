"""For orchestrators and Prometheus: no sign-in, nothing about the plant's values."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from quart import Blueprint, Response
from quart_schema import tag

from web.context import WebContext, context

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@tag(["operations"])
async def healthz() -> dict[str, str]:
    """Answer as long as the process turns."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@tag(["operations"])
async def readyz() -> tuple[dict[str, object], int]:
    """Tell whether the host is active and online on its brokers; 503 when it is not."""
    ours = context()
    problems = [s.problem for s in ours.service.sessions if s.problem is not None]
    ready = ours.service.online and not ours.is_standby
    answer: dict[str, object] = {
        "status": "ready" if ready else "standby" if ours.is_standby else "not ready",
        "problems": [] if ours.is_standby else problems,
        "database": ours.database.problem or "ready",
    }
    return answer, 200 if ready else 503


@blueprint.get("/metrics")
@tag(["operations"])
async def metrics() -> Response:
    """Give counters and gauges in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(HostCollector(context()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class HostCollector(Collector):
    """The host's own numbers, read when they are asked for."""

    def __init__(self, ours: WebContext) -> None:
        self._ours = ours

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        yield from self._plant()
        yield from self._brokers()
        ours = self._ours
        yield _gauge("nexus_host_active", "Not on standby.", not ours.is_standby)
        yield _gauge("nexus_host_database_up", "Database answers.", ours.database.is_ready)
        yield _gauge("nexus_host_live_clients", "Open live sockets.", ours.hub.client_count)
        yield _gauge(
            "nexus_host_writes_pending", "Writes not yet confirmed.", len(ours.service.writes)
        )
        yield CounterMetricFamily(
            "nexus_host_audit_dropped", "Audit entries lost.", value=ours.audit.dropped
        )

    def _plant(self) -> Iterator[Metric]:
        nodes = devices = online_nodes = online_devices = known = 0
        totals = dict.fromkeys(("births", "deaths", "gaps", "rebirth_requests", "metrics"), 0)
        violations = 0
        for view in self._ours.service.nodes():
            nodes += 1
            online_nodes += view.online
            devices += len(view.devices)
            known += len(view.metrics)
            for device in view.devices.values():
                online_devices += device.online
                known += len(device.metrics)
            violations += view.diagnostics.violation_count
            for name in totals:
                totals[name] += getattr(view.diagnostics, name)
        yield _gauge("nexus_host_nodes", "Edge nodes known.", nodes)
        yield _gauge("nexus_host_nodes_online", "Edge nodes online.", online_nodes)
        yield _gauge("nexus_host_devices", "Devices known.", devices)
        yield _gauge("nexus_host_devices_online", "Devices online.", online_devices)
        yield _gauge("nexus_host_metrics_known", "Metrics known.", known)
        yield CounterMetricFamily(
            "nexus_host_violations", "Deviations from Sparkplug.", value=violations
        )
        for name, value in totals.items():
            words = name.replace("_", " ")
            yield CounterMetricFamily(
                f"nexus_host_node_{name}", f"Sum over all nodes: {words}.", value=value
            )

    def _brokers(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("nexus_host_broker_up", "STATE is online there.", labels=["broker"])
        counters = {
            name: CounterMetricFamily(f"nexus_host_broker_{name}", words, labels=["broker"])
            for name, words in (
                ("connects", "Connections made."),
                ("messages", "Messages received."),
                ("bytes", "Payload bytes received."),
                ("retained_ignored", "Retained Sparkplug messages ignored."),
                ("failed", "Messages that our own code could not handle."),
            )
        }
        for session in self._ours.service.sessions:
            labels = [str(session.endpoint)]
            up.add_metric(labels, float(session.online))
            for name, family in counters.items():
                family.add_metric(labels, getattr(session.counters, name))
        yield up
        yield from counters.values()


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
