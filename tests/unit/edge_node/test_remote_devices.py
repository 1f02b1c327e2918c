"""Documents over MQTT: what is read, what they may name of this machine, what is kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from edge_node.config import check
from edge_node.desired import Desired, RemoteDevice
from edge_node.errors import StateUnavailable
from edge_node.remote_devices import MAX_REFUSALS, RemoteDevices
from edge_node.remote_store import RemoteStore
from proto.control.node import RemoteDocument
from proto.sparkplug.topics import NodeId
from tests.unit.edge_node.fakes import device_document

NODE = NodeId("g", "e")


def device(name: str, **changes: Any) -> dict[str, Any]:
    return device_document(name).model_dump(mode="json", exclude_unset=True) | changes


def message(name: str, revision: int = 1, **changes: Any) -> bytes:
    return json.dumps({"revision": revision, "device": device(name, **changes)}).encode()


class Bench:
    """The documents of one node."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.store = RemoteStore(folder, NODE)
        self.remote = RemoteDevices(RemoteDocument(configuration=True, **settings), self.store)
        data = {"node": {"group": "g", "edge": "e"}, "devices": [device("own")]}
        self.desired = Desired(check(data), data)

    def take(self, **news: bytes) -> Desired:
        self.desired = self.remote.settle(self.desired, news)
        return self.desired

    def mistakes(self, name: str) -> str:
        return "\n".join(self.desired.refusals[name].mistakes)


def test_what_was_accepted_is_there_again_at_the_next_start(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.take(a=message("a"), b=message("b"), c=message("c", 4), d=message("d", extra=1))
    first.take(b=b"", c=message("c", 5, enabled=False), d=b'{"revision": 9, "device": null}')
    second = Bench(tmp_path)
    started = second.remote.start(second.desired)
    assert {name: one.revision for name, one in started.documents.items()} == {"a": 1, "c": 5}
    assert not started.configuration.document.devices[-1].enabled


def test_a_refused_document_does_not_replace_the_one_that_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.take(a=message("a", 1))
    bench.take(a=message("a", 2, extra=True))
    assert "devices[a].extra" in bench.mistakes("a")
    assert bench.store.read()["a"].revision == 1


def test_the_same_document_again_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    before = bench.take(a=message("a"))
    assert bench.take(a=message("a")) is before
    again = bench.take(a=message("a", 2))
    assert again.documents["a"].revision == 2
    assert again.configuration.drivers == before.configuration.drivers


@pytest.mark.parametrize(
    ("payload", "mistake"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "object"),
        (b'{"device": null}', "revision"),
        (b'{"revision": -1, "device": null}', "revision"),
        (b'{"revision": 1}', "device"),
        (b'{"revision": 1, "device": {}, "more": 1}', "more"),
        (b'{"revision": 1, "device": {}}', "devices[a].name: found None"),
        (b'{"revision": 1, "device": {"name": "a"}}', "driver is missing"),
        (b"[" * 100_000, "JSON"),
        (b" " * (4 * 1024 * 1024 + 1), "expected at most 4194304"),
    ],
)
def test_what_is_no_document_is_refused_with_the_reason(
    tmp_path: Path, payload: bytes, mistake: str
) -> None:
    bench = Bench(tmp_path)
    bench.take(a=payload)
    assert mistake in bench.mistakes("a")
    assert set(bench.desired.configuration.drivers) == {"own"}


TLS = {"host": "h", "transport": "tls"}
OPC_UA: dict[str, Any] = {
    "driver": "opcua",
    "tags": [{"name": "t", "address": "i=85", "datatype": "int32"}],
}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"connection": TLS | {"ca_file": "/etc/shadow"}}, "connection.ca_file"),
        ({"connection": TLS | {"ca_file": "ok/../../etc/shadow"}}, "connection.ca_file"),
        ({"connection": {"transport": "rtu", "serial_port": "/dev/mem"}}, "connection.serial_port"),
        (
            OPC_UA
            | {
                "connection": {
                    "url": "opc.tcp://h:1",
                    "username": "u",
                    "password_file": "/etc/shadow",
                }
            },
            "connection.password_file",
        ),
        (
            OPC_UA
            | {"connection": {"url": "opc.tcp://h:1", "username": "u", "password_env": "HOME"}},
            "connection.password_env",
        ),
        (
            OPC_UA | {"connection": {"url": "opc.tcp://h:1", "pki_dir": "/etc"}},
            "connection.pki_dir",
        ),
    ],
)
def test_a_document_may_not_name_this_machines_files_ports_and_variables(
    tmp_path: Path, changes: dict[str, Any], place: str
) -> None:
    bench = Bench(tmp_path, allowed_paths=("ok",))
    bench.take(a=message("a", **changes))
    assert f"devices[a].{place}: " in bench.mistakes("a")


def test_what_the_file_allows_a_document_may_name(tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    bench = Bench(tmp_path, allowed_paths=(certificates, "/dev/ttyUSB0"))
    bench.take(
        a=message("a", connection=TLS | {"ca_file": str(certificates / "plant.pem")}),
        b=message("b", connection={"transport": "rtu", "serial_port": "/dev/ttyUSB0"}),
        c=message("c", connection={"transport": "rtu", "serial_port": "/dev/ttyUSB01"}),
    )
    assert set(bench.desired.documents) == {"a", "b"}


def test_a_link_that_leads_elsewhere_is_followed(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to("/etc")
    bench = Bench(tmp_path, allowed_paths=(allowed,))
    bench.take(a=message("a", connection=TLS | {"ca_file": str(allowed / "link" / "shadow")}))
    assert "is not below remote.allowed_paths" in bench.mistakes("a")


def test_no_more_devices_than_allowed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_devices=2)
    bench.take(a=message("a"), b=message("b"), c=message("c"))
    assert set(bench.desired.documents) == {"a", "b"}
    assert "2 devices are configured remotely" in bench.mistakes("c")
    bench.take(a=b"", c=message("c"))
    assert "c" not in bench.desired.documents  # what came first was looked at first
    bench.take(c=message("c"))
    assert set(bench.desired.documents) == {"b", "c"}


def test_refusals_do_not_grow_without_bound(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.take(**{f"d{n}": b"nonsense" for n in range(3 * MAX_REFUSALS)})
    assert len(bench.desired.refusals) == MAX_REFUSALS


def test_what_cannot_be_kept_runs_all_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "g@e.devices").write_text("in the way", encoding="utf-8")
    with capture_logs() as logs:
        bench.take(a=message("a"))
    assert set(bench.desired.documents) == {"a"}
    assert "device_not_kept" in [entry["event"] for entry in logs]
    with pytest.raises(StateUnavailable, match="cannot be read"):
        bench.remote.start(bench.desired)


def test_a_damaged_file_is_told_and_costs_only_its_device(tmp_path: Path) -> None:
    store = RemoteStore(tmp_path, NODE)
    store.write("a", RemoteDevice(1, device("a")))
    store.write("b/with #odd+characters", RemoteDevice(1, device("b")))
    store.write("c" * 250, RemoteDevice(1, device("c")))
    (tmp_path / "g@e.devices" / "a.json").write_text("{", encoding="utf-8")
    with capture_logs() as logs:
        assert set(store.read()) == {"b/with #odd+characters", "c" * 250}
    assert [entry["event"] for entry in logs] == ["kept_device_unreadable"]
