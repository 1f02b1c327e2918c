"""What the host knows of a node's behaviour, as the JSON of the API."""

from typing import Any

from host_app.specification import STATEMENTS
from host_app.traffic import NodeTraffic
from proto.sparkplug.node_view import NodeView

_COUNTERS = (
    "messages",
    "metrics",
    "historical",
    "births",
    "device_births",
    "deaths",
    "device_deaths",
    "held",
    "gaps",
    "duplicates",
    "late",
    "rebirth_requests",
)


def diagnostics_to_json(view: NodeView, traffic: NodeTraffic | None) -> dict[str, Any]:
    """Return everything that was counted, measured and noted of a node."""
    diagnostics = view.diagnostics
    return {
        "id": str(view.node),
        "online": view.online,
        "since_ms": view.since_ms,
        "birth_ms": view.birth_ms or None,
        "bd_seq": view.bd_seq,
        "counters": {name: getattr(diagnostics, name) for name in _COUNTERS},
        "rebirths": [
            {"cause": str(cause), "count": count}
            for cause, count in diagnostics.rebirths.most_common()
        ],
        "last_rebirth": None
        if diagnostics.last_rebirth is None
        else {"at_ms": diagnostics.last_rebirth_ms, "reason": diagnostics.last_rebirth},
        "violations": [
            {"kind": str(kind), "statement": STATEMENTS.get(kind), "count": count}
            for kind, count in diagnostics.violations.most_common()
        ],
        "last_violation": diagnostics.last_violation,
        "traffic": traffic_to_json(traffic or NodeTraffic(0)),
        "journal": []
        if traffic is None
        else [
            {"at_ms": entry.at_ms, "kind": entry.kind, "text": entry.text}
            for entry in reversed(traffic.journal)
        ],
    }


def traffic_to_json(traffic: NodeTraffic) -> dict[str, Any]:
    """Return what was measured of a node's messages."""
    rates = traffic.rates
    latency = rates.latency
    return {
        "bytes": traffic.bytes,
        "mean_payload_bytes": traffic.mean_bytes,
        "largest_payload_bytes": traffic.largest_bytes,
        "last_message_ms": traffic.last_ms or None,
        "messages_per_s": round(rates.messages_per_s, 3),
        "metrics_per_s": round(rates.metrics_per_s, 3),
        "latency_ms": None
        if latency is None
        else {
            "least": latency.least_ms,
            "mean": round(latency.mean_ms, 1),
            "most": latency.most_ms,
        },
        "metric_latency_ms": rates.metric_latency_ms,
        "clock_skew_ms": rates.clock_skew_ms,
    }
