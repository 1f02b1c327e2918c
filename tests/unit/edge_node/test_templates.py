"""Templates from the file to the messages: what hosts see, and what they may write."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_node.config import load
from edge_node.configuration import Configuration
from edge_node.errors import ConfigurationRejected
from edge_node.metrics import define_metrics
from edge_node.pipeline.tags import DeviceTags
from edge_node.templates import InstancePacker, define_templates, member_writes
from proto.sparkplug.datatypes import DataType
from proto.sparkplug.metrics import Metric, Property, Template, TemplateParameter, quality_property

GUIDE = Path(__file__).resolve().parents[3] / "docs/guide/templates.md"
M1 = "devices[Conveyor].instances[Motors/M1]"
M2 = "devices[Conveyor].instances[Motors/M2]"
Load = Callable[[str], Configuration]


def example() -> str:
    """The guide's configuration."""
    found = re.search(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Configuration:
        file = tmp_path / "plant.toml"
        file.write_text(text, encoding="utf-8")
        return load(file, {})

    return write_and_load


def mistakes(load_text: Load, *changes: tuple[str, str], text: str | None = None) -> list[str]:
    """What is wrong with the guide's configuration after changes, without the file's name."""
    text = example() if text is None else text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(ConfigurationRejected) as caught:
        load_text(text)
    return [mistake.partition(": ")[2] for mistake in caught.value.mistakes]


class Packed:
    """The guide's device with its instances gathered."""

    def __init__(self, configuration: Configuration) -> None:
        (device,) = configuration.document.devices
        self.tags = DeviceTags(device.tags, configuration.drivers[device.name].groups)
        self.packer = InstancePacker(self.tags, configuration.instances["Conveyor"])
        self.metrics = {m.name: m for m in self.packer.define(define_metrics(self.tags, "uns/C"))}
        self.packer.attach({"Motors/M1": 41, "Motors/M2": 42})
        self.definitions = define_templates(
            {"Conveyor": self.tags}, configuration.instances, "plain"
        )

    def number(self, tag: str) -> int:
        return self.packer.numbers[tag]


@pytest.fixture
def packed(load_text: Load) -> Packed:
    return Packed(load_text(example()))


def test_the_guides_example_gives_ordinary_tags(load_text: Load) -> None:
    (device,) = load_text(example()).document.devices

    assert {tag.name: tag.address for tag in device.tags} == {
        "Running": "coil:0",
        "Motors/M1/Speed": "holding:100",
        "Motors/M1/Drive/Speed Wanted": "holding:101",
        "Motors/M2/Speed": "holding:200",
        "Motors/M2/Drive/Speed Wanted": "holding:201",
    }
    assert [tag.high for tag in device.tags] == [None, 1500, 1500, 3000, 3000]
    assert device.tags[1].description == "Speed of M1"


def test_an_expanded_document_can_be_read_again(load_text: Load) -> None:
    document = load_text(example()).document

    assert document.templates == ()
    again = type(document).model_validate(document.model_dump())
    assert again == document


def test_instances_without_own_tags_are_enough(load_text: Load) -> None:
    text = example()
    configuration = load_text(text[: text.index("[[devices.tags]]")])

    assert len(configuration.document.devices[0].tags) == 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ('unit = "1/min"', 'units = "1/min"'),
            ["templates[Motor].members[Speed].units: is no known key, did you mean 'unit'?"],
        ),
        (
            ("low = 0\nhigh", 'low = "x"\nhigh'),
            [
                "templates[Motor].members[Speed].low: found 'x', expected a number",
                "templates[Motor].members[Drive/Speed Wanted].low: found 'x', expected a number",
            ],
        ),
        (
            ('high = "{top_speed}"\ndesc', 'poll_group = "{InstanceName}"\ndesc'),
            None,
        ),
        (
            ("writable = true", 'writable = "{InstanceName}"'),
            [
                (
                    "devices[Conveyor].instances[Motors/M1].members[Drive/Speed Wanted].writable: "
                    "found 'M1', expected true or false"
                ),
                (
                    "devices[Conveyor].instances[Motors/M2].members[Drive/Speed Wanted].writable: "
                    "found 'M2', expected true or false"
                ),
            ],
        ),
        (
            ("parameters = { base = 100 }", "parameter = { base = 100 }"),
            [(f"{M1}.parameter: is no known key, did you mean 'parameters'?")],
        ),
        (
            ('datatype = "integer" ', 'datatype = "int" '),
            [
                (
                    "templates[Motor].parameters[base].datatype: found 'int', expected 'integer', "
                    "'float', 'string' or 'boolean'"
                )
            ],
        ),
        (
            ("default = 1500", 'default = "fast"'),
            [
                (
                    "templates[Motor].parameters[top_speed]: default: found 'fast', "
                    "expected a finite number"
                )
            ],
        ),
        (
            ('name = "Motor"', 'name = "Node Info/Version"'),
            None,
        ),
    ],
)
def test_mistakes_are_told_where_they_were_made(
    load_text: Load, change: tuple[str, str], expected: list[str] | None
) -> None:
    found = mistakes(load_text, change)

    if expected is None:
        assert found
        assert "tags[" not in "".join(found)
    else:
        assert found == expected


def test_a_wrong_instance_does_not_make_the_device_seem_empty(load_text: Load) -> None:
    text = example()
    text = text[: text.index("[[devices.tags]]")].replace('template = "Motor"', 'template = "M"')

    assert mistakes(load_text, text=text) == [
        f"{M1}.template: 'M' is no template, expected one of Motor",
        f"{M2}.template: 'M' is no template, expected one of Motor",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ('version = "1" ', 'verson = "1" '),
            "templates[Motor].verson: is no known key, did you mean 'version'?",
        ),
        (
            ('name = "Motors/', 'nam = "Motors/'),
            "devices[Conveyor].instances[0].nam: is no known key, did you mean 'name'?",
        ),
    ],
)
def test_what_is_no_template_or_instance_does_not_make_the_device_seem_empty(
    load_text: Load, change: tuple[str, str], expected: str
) -> None:
    text = example()
    text = text[: text.index("[[devices.tags]]")]

    found = mistakes(load_text, change, text=text)

    assert expected in found
    assert "devices[Conveyor].tags" not in "".join(found)


def test_instances_whose_members_differ_in_published_type_are_refused(load_text: Load) -> None:
    changes = (
        ('low = 0\nhigh = "{top_speed}"\ndescription', 'scale = "{top_speed}"\ndescription'),
        ("base = 100", "base = 100, top_speed = 1"),
    )

    assert mistakes(load_text, *changes) == [
        (
            f"{M2}.members[Speed]: is published as Double, expected UInt16 as in {M1}: "
            "scale and offset make the difference"
        )
    ]
    flat = example().replace('templates = "instances"', 'templates = "flattened"')
    for old, new in changes:
        flat = flat.replace(old, new)
    assert load_text(flat).document.sparkplug.templates == "flattened"


def test_a_definition_tells_members_types_and_defaults_but_no_reference(packed: Packed) -> None:
    (definition,) = packed.definitions

    assert definition.name == "Motor"
    assert definition.value == Template(
        (Metric("Speed", DataType.UINT16), Metric("Drive/Speed Wanted", DataType.UINT16)),
        is_definition=True,
        version="1",
        parameters=(
            TemplateParameter("base", DataType.INT64, None),
            TemplateParameter("top_speed", DataType.DOUBLE, 1500),
        ),
    )


def test_definitions_stand_in_a_folder_where_hosts_want_it(load_text: Load) -> None:
    configuration = load_text(example())
    (device,) = configuration.document.devices
    tags = DeviceTags(device.tags, configuration.drivers[device.name].groups)

    (found,) = define_templates({"Conveyor": tags}, configuration.instances, "types-folder")

    assert found.name == "_types_/Motor"


def test_members_are_gathered_with_their_properties(packed: Packed) -> None:
    assert set(packed.metrics) == {
        "Running",
        "Motors/M1",
        "Motors/M2",
        "Device Control/Rebirth",
    }
    m2 = packed.metrics["Motors/M2"].value
    assert isinstance(m2, Template)
    assert (m2.template_ref, m2.is_definition, m2.version) == ("Motor", False, "1")
    assert [parameter.value for parameter in m2.parameters] == [200, 3000]
    speed, wanted = m2.metrics
    assert (speed.name, wanted.name) == ("Speed", "Drive/Speed Wanted")
    assert speed.properties is not None
    assert wanted.properties is not None
    assert speed.properties["engHigh"] == Property(DataType.DOUBLE, 3000)
    assert speed.properties["unsPath"].value == "uns/C/Motors/M2/Speed"
    assert (speed.properties["readOnly"].value, wanted.properties["readOnly"].value) == (
        True,
        False,
    )
    assert packed.metrics["Motors/M2"].properties == {"readOnly": Property(DataType.BOOLEAN, False)}


def test_readings_of_members_become_one_of_their_instance_each_time(packed: Packed) -> None:
    speed, wanted = packed.number("Motors/M1/Speed"), packed.number("Motors/M1/Drive/Speed Wanted")
    other = packed.number("Motors/M2/Speed")

    found = packed.packer.pack(
        [(speed, 10, 100, 192), (7, True, 100, 192), (wanted, 20, 100, 192), (other, 1, 90, 192)]
    )

    assert found == [
        (42, part(Metric("Speed", DataType.UINT16, 1, 90)), 90, 192),
        (
            41,
            part(
                Metric("Speed", DataType.UINT16, 10, 100),
                Metric("Drive/Speed Wanted", DataType.UINT16, 20, 100),
            ),
            100,
            192,
        ),
        (7, True, 100, 192),
    ]


def test_no_reading_of_a_member_is_lost_within_a_window(packed: Packed) -> None:
    speed = packed.number("Motors/M1/Speed")

    found = packed.packer.pack([(speed, 1, 100, 192), (speed, 2, 100, 192), (speed, 3, 101, 192)])

    assert [(time, values(value)) for _, value, time, _ in found] == [
        (100, {"Speed": 1}),
        (100, {"Speed": 2}),
        (101, {"Speed": 3}),
    ]


def test_a_bad_member_tells_so_itself(packed: Packed) -> None:
    speed = packed.number("Motors/M1/Speed")

    ((_, value, _, quality),) = packed.packer.pack([(speed, None, 100, 0)])

    assert quality == 192
    assert value == part(
        Metric("Speed", DataType.UINT16, None, 100, properties={"Quality": quality_property(0)})
    )


def test_an_instance_is_one_point(packed: Packed) -> None:
    assert packed.packer.count(len(packed.tags.tags)) == 3


def test_a_command_writes_each_member_by_its_tag() -> None:
    value = part(Metric("a", DataType.INT8, 1), Metric("b/c", DataType.INT8, 2))

    assert member_writes("M", value) == [("M/a", 1), ("M/b/c", 2)]
    assert member_writes("plain", 3) == [("plain", 3)]


def part(*members: Metric) -> Template:
    return Template(members, "Motor", version="1")


def values(value: Any) -> dict[str | None, Any]:
    return {member.name: member.value for member in value.metrics}


def test_the_guides_example_is_toml_of_its_own() -> None:
    assert tomllib.loads(example())["sparkplug"] == {"templates": "instances"}
