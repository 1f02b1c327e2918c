import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_node.cli import check
from edge_node.config import load
from edge_node.configuration import Configuration
from edge_node.endpoints import make_endpoint
from edge_node.errors import ConfigurationRejected
from proto.control.broker import BrokerDocument

Write = Callable[[str], Path]

SOUND = """
[node]
group = "plant"
edge = "line-1"

[[devices]]
name = "press"
driver = "modbus"
connection = { host = "10.0.0.7" }
tags = [{ name = "temp", address = "holding:0", datatype = "int16" }]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        file = tmp_path / "plant.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def mistakes(file: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a file, without its name."""
    with pytest.raises(ConfigurationRejected) as caught:
        load(file, environment or {})
    found = caught.value.mistakes
    assert all(line.startswith(f"{file}: ") for line in found)
    return [line.removeprefix(f"{file}: ") for line in found]


def test_a_sound_file_gives_its_document_and_its_drivers(write: Write) -> None:
    configuration = load(write(SOUND), {})
    assert configuration.document.node.edge == "line-1"
    assert set(configuration.drivers) == {"press"}


def test_the_example_plant_is_sound() -> None:
    assert isinstance(load(Path("deploy/local/plant.toml"), {}), Configuration)


def test_the_environment_overrides_the_broker_and_fills_what_is_left_out(write: Write) -> None:
    environment = {
        "NEXUS_MQTT_URL": "mqtts://broker:8884",
        "NEXUS_MQTT_USERNAME": "from-env",
        "NEXUS_TOPIC_PREFIX": "nexus",
    }
    document = load(write(SOUND), environment).document
    assert (document.mqtt.url, document.mqtt.username) == ("mqtts://broker:8884", "from-env")
    assert document.node.topic_prefix == "nexus"
    own = SOUND.replace("[node]", '[mqtt]\nurl = "mqtt://x"\nusername = "own"\n[node]').replace(
        'edge = "line-1"', 'edge = "line-1"\ntopic_prefix = "mine"'
    )
    document = load(write(own), environment).document
    assert (document.mqtt.url, document.mqtt.username) == ("mqtts://broker:8884", "own")
    assert document.node.topic_prefix == "mine"


def test_every_mistake_is_told_at_once_with_its_place(write: Write) -> None:
    file = write(
        """
        [node]
        group = "a/b"
        [mqtt]
        url = "http://x"
        keep_alive_s = 2
        keepalive = 3
        [uns]
        location = ["acme", "+"]
        [[devices]]
        name = "press"
        driver = "modbus"
        connection = { host = "h", prot = 502, port = "x", unit_id = 1.5 }
        tags = [
          { name = "a", address = "holding:1", datatype = "int16", writable = "maybe" },
          { name = "b//c", address = 3, datatype = "int16" },
          { datatype = "int16", max_silence_s = -1, address = "x", word_order = "middle" },
        ]
        [[devices]]
        driver = "modbus"
        connection = 5
        tags = []
        """
    )
    assert mistakes(file) == [
        "node.group: found 'a/b', expected text without '/', '+' and '#'",
        "node.edge: is missing",
        "mqtt.url: 'http://x' is not a broker address, expected mqtt://host[:port] or mqtts://",
        "mqtt.keep_alive_s: found 2, expected at least 5",
        "mqtt.keepalive: is no known key, did you mean 'keep_alive_s'?",
        (
            "uns.location[1]: found '+', expected text without '/', '+' and '#' that does not "
            "begin with '$'"
        ),
        "devices[press].connection.port: found 'x', expected a whole number",
        "devices[press].connection.unit_id: found 1.5, expected a whole number",
        "devices[press].connection.prot: is no known key, did you mean 'port'?",
        "devices[press].tags[a].writable: found 'maybe', expected true or false",
        (
            "devices[press].tags[b//c].name: found 'b//c', expected names without '+' and '#', "
            "with single '/' between folders"
        ),
        "devices[press].tags[b//c].address: found 3, expected text",
        "devices[press].tags[2].name: is missing",
        "devices[press].tags[2].max_silence_s: found -1, expected more than 0.0",
        (
            "devices[press].tags[2].word_order: found 'middle', expected 'big', 'little', "
            "'big-swapped' or 'little-swapped'"
        ),
        "devices[1].name: is missing",
        "devices[1].connection: found 5, expected a table of keys",
        "devices[1].tags: found a list of 0, expected at least 1 of them",
    ]


def test_what_only_the_driver_can_see_is_told_with_the_rest(write: Write) -> None:
    text = SOUND.replace("holding:0", "holding:70000").replace('"line-1"', '"line-1"\nextra = 1')
    found = mistakes(write(text))
    assert found[0] == (
        "node.extra: is no known key, expected one of edge, group, state_dir, status_interval_s, "
        "topic_prefix"
    )
    assert found[1].startswith("devices[press]: ")
    assert "temp" in found[1]
    assert "70000" in found[1]


def test_tags_that_share_a_topic_or_differ_in_case_only_are_told(write: Write) -> None:
    tag = '{ name = "%s", address = "holding:0", datatype = "int16" }'
    tags = ", ".join(tag % name for name in ("temp", "Temp", "_meta"))
    found = mistakes(write(SOUND.replace(SOUND[SOUND.index("tags =") :], f"tags = [{tags}]")))
    assert found == [
        (
            "devices[press].tags[_meta].name: tag '_meta' is a name of the namespace itself, "
            "expected another one"
        ),
        (
            "devices[press].tags[Temp].name: differs from 'temp' in case only, "
            "which hosts may not tell apart"
        ),
    ]


def test_two_devices_must_not_share_topics_or_names(write: Write) -> None:
    second = SOUND[SOUND.index("[[devices]]") :]
    twin = second.replace('"press"', '"Press"').replace("tags", 'uns_path = "press"\ntags')
    assert mistakes(write(SOUND + twin)) == [
        (
            "devices[Press].tags[temp]: topic 'uns/press/temp' is that of "
            "devices[press].tags[temp] too"
        ),
        "devices[Press].name: differs from 'press' in case only, which hosts may not tell apart",
    ]


def test_a_topic_prefix_must_be_topic_levels(write: Write) -> None:
    text = SOUND.replace('edge = "line-1"', 'edge = "line-1"\ntopic_prefix = "a/#"')
    assert mistakes(write(text)) == [
        (
            "node.topic_prefix: found 'a/#', expected topic levels without '+' and '#', "
            "with single '/' between"
        )
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\ngroup = \n", "line 2, column 9: Invalid value"),
        ("[node\n", "line 1, column 6: Expected ']' at the end of a table declaration"),
        ('a = "x"\na = "y"\n', "line 2, column 8: Cannot overwrite a value"),
    ],
)
def test_a_toml_mistake_is_told_with_its_line(write: Write, text: str, message: str) -> None:
    assert mistakes(write(text)) == [message]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert mistakes(missing) == ["cannot be read: No such file or directory"]
    missing.write_bytes(b"\xff\xfe")
    assert mistakes(missing) == ["byte 0 is not UTF-8, expected a TOML file in UTF-8"]


def test_check_prints_every_mistake_of_every_file_and_exits_with_2(write: Write) -> None:
    sound = write(SOUND)
    wrong = sound.with_name("wrong.toml")
    wrong.write_text("[node]\n", encoding="utf-8")
    result = CliRunner().invoke(check, [str(sound)])
    told = f"{sound}: no mistake, 1 device, 1 tag\n"
    assert (result.exit_code, result.output) == (0, told)
    result = CliRunner().invoke(check, [str(wrong), str(sound), str(wrong)])
    assert result.exit_code == 2
    assert (
        result.stderr.splitlines()
        == [
            f"{wrong}: node.group: is missing",
            f"{wrong}: node.edge: is missing",
        ]
        * 2
    )


def test_the_password_comes_from_where_the_document_says(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-file\nsecond line\n", encoding="utf-8")
    by_file = BrokerDocument(username="u", password_file=secret)
    by_name = BrokerDocument(username="u", password_env="MY_SECRET")
    environment = {"MY_SECRET": "from-env", "NEXUS_MQTT_PASSWORD": "default"}
    assert make_endpoint(by_file, "id", environment).password == "from-file"
    assert make_endpoint(by_name, "id", environment).password == "from-env"
    assert make_endpoint(BrokerDocument(), "id", environment).password == "default"
    environment = {"NEXUS_MQTT_PASSWORD_FILE": str(secret)}
    assert make_endpoint(BrokerDocument(), "id", environment).password == "from-file"
    assert make_endpoint(BrokerDocument(), "id", {}).password is None
    assert "from-file" not in repr(make_endpoint(by_file, "id", {}))


def test_a_secret_that_is_not_there_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for document, message in [
        (BrokerDocument(password_env="NOT_SET"), "variable 'NOT_SET' is not set"),
        (BrokerDocument(password_file=empty), "is empty, expected the password"),
        (BrokerDocument(password_file=tmp_path / "no"), "cannot be read"),
    ]:
        with pytest.raises(ConfigurationRejected, match=message):
            make_endpoint(document, "id", {})


def test_the_client_id_is_the_documents_or_the_given_one() -> None:
    assert make_endpoint(BrokerDocument(), "given", {}).client_id == "given"
    assert make_endpoint(BrokerDocument(client_id="own"), "given", {}).client_id == "own"


def test_tls_verifies_the_broker_and_says_what_cannot_be_used(tmp_path: Path) -> None:
    context = make_endpoint(BrokerDocument(url="mqtts://b"), "id", {}).tls
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate", encoding="utf-8")
    with pytest.raises(ConfigurationRejected, match=r"mqtt.ca_file: .* expected PEM"):
        make_endpoint(BrokerDocument(url="mqtts://b", ca_file=rubbish), "id", {})
    document = BrokerDocument(url="mqtts://b", cert_file=rubbish, key_file=rubbish)
    with pytest.raises(ConfigurationRejected, match=r"mqtt.cert_file: .* unencrypted key"):
        make_endpoint(document, "id", {})
