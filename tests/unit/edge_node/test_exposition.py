from prometheus_client.parser import text_string_to_metric_families

from edge_node.counters import Counters
from edge_node.device_state import DeviceState
from edge_node.exposition import format_devices, format_node

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(text: str) -> Samples:
    """Read the text as Prometheus does; a sample that stands twice is an error."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def online() -> DeviceState:
    state = DeviceState("online", 0, polls=7, skipped_polls=2, reconnects=3)
    state.breaker = "closed"
    state.traffic.requests = 14
    state.traffic.bytes_sent, state.traffic.bytes_received = 168, 1000
    state.traffic.errors.update({"timeout": 2, "refused": 1})
    state.traffic.quarantined = 1
    state.bad = {"fast": 1, "slow": 2}
    for latency_s in (0.0005, 0.003, 0.004, 9.0):
        state.traffic.latency.add(latency_s)
    return state


def test_everything_of_a_device_is_told_under_its_name() -> None:
    samples = parse(
        "".join(format_devices({"Press 1": online(), "Oven": DeviceState("offline", 0)}))
    )

    def of(name: str, device: str = "Press 1", **labels: str) -> float:
        labels["device"] = device
        return samples[f"nexus_edge_device_{name}", tuple(sorted(labels.items()))]

    assert of("up") == 1
    assert of("up", "Oven") == 0
    assert of("breaker", state="closed") == 1
    assert of("breaker", state="open") == 0
    assert of("breaker", "Oven", state="half-open") == 1
    assert of("polls_total") == 7
    assert of("skipped_polls_total") == 2
    assert of("requests_total") == 14
    assert of("sent_bytes_total") == 168
    assert of("received_bytes_total") == 1000
    assert of("errors_total", kind="timeout") == 2
    assert of("errors_total", kind="refused") == 1
    assert of("reconnects_total") == 3
    assert of("bad_tags") == 3
    assert of("quarantined_tags") == 1
    assert of("request_duration_seconds_bucket", le="0.001") == 1
    assert of("request_duration_seconds_bucket", le="0.005") == 3
    assert of("request_duration_seconds_bucket", le="5.0") == 3
    assert of("request_duration_seconds_bucket", le="+Inf") == 4
    assert of("request_duration_seconds_count") == 4
    assert of("request_duration_seconds_sum") == 0.0005 + 0.003 + 0.004 + 9.0
    assert of("poll_lateness_seconds_count") == 0


def test_a_family_stands_in_one_piece_however_many_devices_there_are() -> None:
    states = {f"D{number}": DeviceState("online", 0) for number in range(230)}
    text = "".join(format_devices(states))
    assert text.count("# TYPE nexus_edge_device_up gauge") == 1
    names = [line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert names.count("nexus_edge_device_up") == 230
    first = names.index("nexus_edge_device_up")
    assert set(names[first : first + 230]) == {"nexus_edge_device_up"}


def test_no_piece_holds_up_polls_for_long() -> None:
    states = {f"D{number}": DeviceState("online", 0) for number in range(500)}
    assert max(piece.count("\n") for piece in format_devices(states)) <= 50 * 15


def test_device_names_with_quotes_and_backslashes_are_escaped() -> None:
    samples = parse("".join(format_devices({'a"b\\c': DeviceState("online", 0)})))
    assert samples["nexus_edge_device_up", (("device", 'a"b\\c'),)] == 1


def test_the_nodes_counters_are_told() -> None:
    counters = Counters(points_published=5, reconnects=2)
    samples = parse(format_node(counters, connected=True, queued_bytes=17))
    assert samples["nexus_edge_points_published_total", ()] == 5
    assert samples["nexus_edge_reconnects_total", ()] == 2
    assert samples["nexus_edge_connected", ()] == 1
    assert samples["nexus_edge_queued_bytes", ()] == 17
