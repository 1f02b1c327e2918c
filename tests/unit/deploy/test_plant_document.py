"""The demo's configuration is the documented example at other addresses."""

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.plant_document import (
    count_tags,
    format_toml,
    place_document,
    read_example,
)
from proto.control.document import Document
from proto.control.node import NodeDocument


def placed() -> NodeDocument:
    return place_document(
        read_example(),
        mqtt_url="mqtt://127.0.0.1:40001",
        mqtt_username="plant",
        modbus_port=40002,
        topic_prefix="nexus",
        state_dir=Path("/run/nexus"),
        status_interval_s=1.0,
    )


def test_the_example_has_a_real_plants_worth_of_tags() -> None:
    assert count_tags(read_example()) >= 60


def test_placing_changes_addresses_and_nothing_of_the_plant() -> None:
    before, after = read_example(), placed()
    assert after.mqtt.url == "mqtt://127.0.0.1:40001"
    assert after.mqtt.password_env == "NEXUS_MQTT_PASSWORD"
    ports = {getattr(device.connection, "port", None) for device in after.devices}
    assert ports == {40002}
    assert [device.tags for device in after.devices] == [device.tags for device in before.devices]
    assert after.uns == before.uns


def test_a_written_document_reads_back_equal() -> None:
    document = placed()
    assert NodeDocument.model_validate(tomllib.loads(format_toml(document))) == document


class _Texts(Document):
    texts: dict[str, str]


@given(st.dictionaries(st.text(), st.text()))
def test_any_text_survives_toml(texts: dict[str, str]) -> None:
    written = format_toml(_Texts(texts=texts))
    assert tomllib.loads(written) == {"texts": texts}
