"""A node's file and the documents besides it: who owns what, and whose mistakes cost what."""

from collections.abc import Sequence
from typing import Any

import pytest

from edge_node.config import check
from edge_node.configuration import Configuration
from edge_node.desired import Desired, Refusal, RemoteDevice
from edge_node.errors import ConfigurationRejected
from tests.unit.edge_node.fakes import device_document


def device(name: str, **changes: Any) -> dict[str, Any]:
    document = device_document(name, **changes)
    return document.model_dump(mode="json", exclude_unset=True)


def file_of(*devices: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"node": {"group": "g", "edge": "e"}, "devices": list(devices), **sections}


def nothing_to_say(_alone: Configuration) -> Sequence[str]:
    return ()


def start(*devices: dict[str, Any], **sections: Any) -> Desired:
    data = file_of(*devices, **sections)
    return Desired(check(data), data).settled()


def take(desired: Desired, **documents: dict[str, Any] | None) -> Desired:
    news = {
        name: None if data is None else RemoteDevice(1, data) for name, data in documents.items()
    }
    return desired.with_documents(news, nothing_to_say).settled()


def names(desired: Desired) -> list[str]:
    return [device.name for device in desired.configuration.document.devices]


def test_documents_add_change_and_remove_devices_and_leave_the_others_their_drivers() -> None:
    before = start(device("own"))
    added = take(before, a=device("a"), b=device("b"))
    assert names(added) == ["own", "a", "b"]
    changed = take(added, a=device("a", uns_path="else"), b=device("b"))
    then, now = added.configuration.drivers, changed.configuration.drivers
    assert {name for name in now if now[name] is then[name]} == {"own", "b"}
    assert names(take(changed, a=None)) == ["own", "b"]


def test_a_device_of_the_file_is_the_files_alone() -> None:
    desired = take(start(device("own")), own=device("own", uns_path="else"))
    (refusal,) = desired.refusals.values()
    assert refusal.mistakes == ("devices[own]: is in the node's file, which alone configures it",)
    assert desired.configuration.document.devices[0].uns_path is None
    assert names(take(desired, own=None)) == ["own"]


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"name": "other"}, "devices[a].name: found 'other', expected 'a' as in the topic"),
        ({"driver": "nonsense"}, "devices[a]: driver is 'nonsense', expected"),
        ({"extra": 1}, "devices[a].extra: "),
        ({"uns_path": "own"}, "devices[a].tags[temp]: topic 'uns/own/temp' is that of"),
        ({"name": "OWN"}, "differs from 'own' in case only"),
    ],
)
def test_a_document_with_mistakes_changes_nothing_and_hinders_nobody(
    changes: dict[str, Any], mistake: str
) -> None:
    before = take(start(device("own")), a=device("a"))
    name = "OWN" if changes.get("name") == "OWN" else "a"
    news = {name: RemoteDevice(2, device("a") | changes), "b": RemoteDevice(1, device("b"))}
    desired = before.with_documents(news, nothing_to_say)
    assert names(desired) == ["own", "a", "b"]
    assert desired.documents["a"].revision == 1
    assert mistake in "\n".join(desired.refusals[name].mistakes)
    assert desired.configuration.drivers["a"] is before.configuration.drivers["a"]


def test_among_many_documents_only_those_that_clash_are_refused() -> None:
    many = {f"d{n}": device(f"d{n}") for n in range(40)}
    many["d7"] = device("d7", uns_path="d3")
    many["d31"] = device("d31", uns_path="own")
    desired = take(start(device("own")), **many)
    assert set(desired.refusals) == {"d7", "d31"}
    assert len(names(desired)) == 39


def test_a_judge_refuses_what_a_document_may_not_have() -> None:
    desired = start(device("own")).with_documents(
        {"a": RemoteDevice(3, device("a"))}, lambda alone: [alone.document.devices[0].name]
    )
    assert desired.refusals == {"a": Refusal(("a",), RemoteDevice(3, device("a")))}


def test_a_file_with_mistakes_changes_nothing() -> None:
    before = take(start(device("own")), a=device("a"))
    wrong = file_of(device("own") | {"driver": "x"})
    with pytest.raises(ConfigurationRejected, match=r"plant\.toml: devices"):
        before.with_file(wrong, "plant.toml", nothing_to_say)


def test_a_file_that_takes_a_device_over_puts_its_document_aside_until_it_lets_go() -> None:
    before = take(start(device("own")), a=device("a"))
    both = file_of(device("own"), device("a", uns_path="mine"))
    taken = before.with_file(both, "plant.toml", nothing_to_say)
    assert taken.configuration.document.devices[1].uns_path == "mine"
    assert set(taken.refusals) == {"a"}
    back = taken.with_file(file_of(device("own")), "plant.toml", nothing_to_say)
    assert names(back) == ["own", "a"]
    assert back.configuration.document.devices[1].uns_path is None
    assert back.refusals == {}


def test_a_document_may_have_instances_of_the_files_templates() -> None:
    template = {
        "name": "Motor",
        "parameters": [{"name": "base", "datatype": "integer"}],
        "members": [{"name": "speed", "address": "holding:{base}", "datatype": "int16"}],
    }
    data = device("a") | {
        "tags": [],
        "instances": [{"template": "Motor", "name": "M1", "parameters": {"base": 5}}],
    }
    before = start(device("own"), templates=[template])
    desired = take(before, a=data)
    assert [tag.name for tag in desired.configuration.tags["a"].tags] == ["M1/speed"]
    changed = template | {
        "members": [{"name": "rpm", "address": "holding:{base}", "datatype": "int16"}]
    }
    after = desired.with_file(
        file_of(device("own"), templates=[changed]), "plant.toml", nothing_to_say
    )
    assert [tag.name for tag in after.configuration.document.devices[1].tags] == ["M1/rpm"]
    gone = desired.with_file(file_of(device("own")), "plant.toml", nothing_to_say)
    assert names(gone) == ["own"]
    assert "no template" in gone.refusals["a"].mistakes[0]


def test_sections_of_the_start_stay_and_are_told() -> None:
    before = start(device("own"))
    data = file_of(device("own"), uns={"root": "else"})
    after = before.with_file(data, "plant.toml", nothing_to_say)
    assert after.configuration.restart_needed == ("uns",)
    assert after.configuration.document.uns.root == "uns"
    assert after.configuration.drivers["own"] is before.configuration.drivers["own"]


def test_what_is_told_in_the_same_words_is_not_looked_at_again() -> None:
    template = {
        "name": "Motor",
        "parameters": [],
        "members": [{"name": "speed", "address": "holding:9", "datatype": "int16"}],
    }
    motor = device("motor") | {"instances": [{"template": "Motor", "name": "M1"}]}
    before = start(device("own"), motor, templates=[template])
    data = file_of(device("own"), motor, device("new"), templates=[template])
    after = before.with_file(data, "plant.toml", nothing_to_say)
    assert names(after) == ["own", "motor", "new"]
    assert [one.name for one in after.configuration.instances["motor"]] == ["M1"]
    assert after.configuration.drivers["motor"] is before.configuration.drivers["motor"]
    changed = template | {"version": "2"}
    data = file_of(device("own"), motor, templates=[changed])
    last = after.with_file(data, "plant.toml", nothing_to_say)
    assert last.configuration.instances["motor"][0].template.version == "2"
    assert last.configuration.drivers["motor"] is not before.configuration.drivers["motor"]
    assert last.configuration.drivers["own"] is before.configuration.drivers["own"]


def test_a_device_that_stands_twice_is_refused_also_when_it_runs() -> None:
    before = start(device("own"))
    for twin in (device("own"), device("own", uns_path="else")):
        with pytest.raises(ConfigurationRejected, match="stand more than once: own"):
            before.with_file(file_of(device("own"), twin), "plant.toml", nothing_to_say)


def test_what_is_settled_keeps_tags_and_drivers_and_not_the_documents_they_are_of() -> None:
    whole = check(file_of(device("own")))
    read = check(file_of(device("own")), whole=False)
    settled = Desired(whole, whole.data).settled()
    for configuration in (read, settled.configuration):
        assert [len(one.tags) for one in configuration.document.devices] == [0]
        assert list(configuration.data["devices"]) == list(configuration.document.devices)
        assert [tag.name for tag in configuration.tags["own"].tags] == [
            tag.name for tag in whole.document.devices[0].tags
        ]
    assert settled.configuration.drivers["own"] is whole.drivers["own"]


def test_the_same_in_other_words_is_the_same_after_settling() -> None:
    before = start(device("own"))
    reworded = device_document("own").model_dump(mode="json", exclude_none=True)
    after = before.with_file(file_of(reworded), "plant.toml", nothing_to_say)
    assert after.configuration.drivers["own"] is before.configuration.drivers["own"]
    assert after.configuration.tags["own"] is before.configuration.tags["own"]


def test_topics_of_settled_devices_are_still_taken() -> None:
    before = start(device("own", uns_path="same"))
    data = file_of(device("own", uns_path="same"), device("new", uns_path="same"))
    with pytest.raises(ConfigurationRejected, match=r"is that of devices\[own\]"):
        before.with_file(data, "plant.toml", nothing_to_say)
