import tomllib
from typing import Any

import pytest

from proto.control.template_expansion import expand_templates

MOTOR = """
[[templates]]
name = "Motor"
version = "1.2"

[[templates.parameters]]
name = "base"
datatype = "integer"

[[templates.parameters]]
name = "top"
datatype = "float"
default = 1500

[[templates.parameters]]
name = "place"
datatype = "string"
default = "hall {1}"

[[templates.parameters]]
name = "steered"
datatype = "boolean"
default = false

[[templates.members]]
name = "Speed"
address = "holding:{base}"
datatype = "int16"
high = "{top}"
description = "{InstanceName} in {place}, {{top}} {top}, steered {steered}"

[[templates.members]]
name = "Drive/Speed Wanted"
address = "holding:{base+10}"
datatype = "int16"
length = "{base - 1}"
writable = "{steered}"
"""

PUMP = {"template": "T", "name": "pump"}

DEVICE = """
[[devices]]
name = "Line"
driver = "modbus"
tags = [{ name = "State", address = "holding:0", datatype = "int16" }]
"""


def expand(text: str) -> Any:
    return expand_templates(tomllib.loads(text))


def mistakes(instances: str = "", template: str = MOTOR) -> list[str]:
    """What is wrong with a template or with instances of it."""
    found: list[str] = expand(template + DEVICE + instances).mistakes
    return found


def instance(text: str = "", template: str = "Motor", name: str = "Motors/M1") -> str:
    head = f'[[devices.instances]]\ntemplate = "{template}"\nname = "{name}"\n'
    return f"\n{head}parameters = {{ {text} }}\n"


def test_members_become_tags_below_the_instance_with_every_placeholder_filled() -> None:
    expansion = expand(MOTOR + DEVICE + instance("base = 100, steered = true"))

    assert expansion.mistakes == []
    assert expansion.data["devices"][0]["tags"][1:] == [
        {
            "name": "Motors/M1/Speed",
            "address": "holding:100",
            "datatype": "int16",
            "high": 1500.0,
            "description": "M1 in hall {1}, {top} 1500, steered true",
        },
        {
            "name": "Motors/M1/Drive/Speed Wanted",
            "address": "holding:110",
            "datatype": "int16",
            "length": 99,
            "writable": True,
        },
    ]


def test_an_expansion_remembers_what_the_tags_belong_to() -> None:
    (found,) = expand(MOTOR + DEVICE + instance("base = 100")).instances["Line"]

    assert (found.name, found.template.name) == ("Motors/M1", "Motor")
    assert found.parameters == {"base": 100, "top": 1500, "place": "hall {1}", "steered": False}
    assert found.members["Speed"] == "Motors/M1/Speed"


def test_data_without_templates_stays_as_it_is() -> None:
    data = tomllib.loads(DEVICE)

    expansion = expand_templates(data)

    assert expansion.data == data
    assert expansion.instances == {}


@pytest.mark.parametrize(
    "data",
    [
        {"templates": 1, "devices": 2},
        {"templates": [3, {"name": "T"}], "devices": [4, {"name": "d", "instances": [5]}]},
        {"devices": [{"name": "d", "instances": 6}, {"instances": []}, {"tags": 7}]},
        {"templates": [{"name": "T"}], "devices": [{"name": "d", "instances": [PUMP]}]},
    ],
)
def test_what_is_no_template_at_all_is_left_to_the_documents_check(data: dict[str, Any]) -> None:
    assert expand_templates(data).mistakes == []


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        (instance("base = 1", "Moto"), ".template: 'Moto' is no template, did you mean 'Motor'?"),
        (instance("base = 1", "Pump"), ".template: 'Pump' is no template, expected one of Motor"),
        (instance(), ".parameters.base: is missing, 'Motor' has no default for it"),
        (
            instance("base = 1, tops = 3"),
            ".parameters.tops: is not of 'Motor', did you mean 'top'?",
        ),
        (
            instance("base = 1, x9 = 3"),
            ".parameters.x9: is not of 'Motor', expected one of base, top, place, steered",
        ),
        (
            instance("base = '7'"),
            ".parameters.base: found '7', expected a whole number of at most 64 bits",
        ),
        (
            instance("base = true"),
            ".parameters.base: found true, expected a whole number of at most 64 bits",
        ),
        (
            instance("base = 9223372036854775808"),
            (
                ".parameters.base: found 9223372036854775808, expected a whole number of at most"
                " 64 bits"
            ),
        ),
        (instance("base = 1, top = nan"), ".parameters.top: found nan, expected a finite number"),
        (instance("base = 1, place = 3"), ".parameters.place: found 3, expected text"),
        (instance("base = 1, steered = 3"), ".parameters.steered: found 3, expected true or false"),
    ],
)
def test_a_wrong_instance_is_told_with_its_place(instances: str, expected: str) -> None:
    assert mistakes(instances) == ["devices[Line].instances[Motors/M1]" + expected]


@pytest.mark.parametrize("name", ["State", "state", "STATE"])
def test_an_instance_cannot_have_the_name_of_a_tag(name: str) -> None:
    assert mistakes(instance("base = 1", name=name)) == [
        (
            f"devices[Line].instances[{name}].name: is that of tag 'State' too, but for the case"
            " perhaps"
        )
    ]


def test_two_instances_cannot_have_one_name() -> None:
    (found,) = mistakes(instance("base = 1") + instance("base = 2", name="motors/m1"))

    assert found.startswith("devices[Line].instances[motors/m1].name: is that of instance 'Motor")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "holding:{base}",
            "holding:{bse}",
            (
                "members[Speed].address: found '{bse}', no parameter has that name, did you mean"
                " 'base'?"
            ),
        ),
        (
            "holding:{base}",
            "holding:{zzz}",
            (
                "members[Speed].address: found '{zzz}', no parameter has that name, expected base,"
                " top, place, steered, InstanceName"
            ),
        ),
        (
            "holding:{base}",
            "holding:{top+3}",
            (
                "members[Speed].address: found '{top+3}', but 'top' is of type float, expected an"
                " integer to count from"
            ),
        ),
        (
            "holding:{base}",
            "holding:{base*2}",
            "members[Speed].address: found '{base*2}', expected '{name}', '{name+1}' or '{name-1}'",
        ),
        (
            "holding:{base}",
            "holding:{base",
            (
                "members[Speed].address: found a single '{' in 'holding:{base', expected "
                "'{name}', or '{{' for a brace"
            ),
        ),
        (
            'name = "Speed"',
            'name = "{place}"',
            (
                "members[{place}].name: found '{place}', expected no parameter: it is the same in"
                " every instance"
            ),
        ),
        (
            'datatype = "int16"\nhigh',
            'datatype = "{place}"\nhigh',
            (
                "members[Speed].datatype: found '{place}', expected no parameter: it is the same in"
                " every instance"
            ),
        ),
        (
            'name = "Speed"',
            "",
            (
                "members[0].name: found None, expected names without '+' and '#', with single '/'"
                " between folders"
            ),
        ),
        (
            "Drive/Speed Wanted",
            "speed",
            "members[speed].name: is another member's too, whose case does not count",
        ),
    ],
)
def test_a_wrong_template_is_told_once_and_its_instances_are_not_blamed(
    old: str, new: str, expected: str
) -> None:
    wrong = MOTOR.replace(old, new, 1)
    assert wrong != MOTOR

    found = mistakes(instance("base = 1") + instance("base = 2", name="M2"), wrong)

    assert found == [f"templates[Motor].{expected}"]
