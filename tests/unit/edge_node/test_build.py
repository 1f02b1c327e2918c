"""What is left in memory of a configuration file once its node is built."""

import gc
from pathlib import Path

from edge_node.cli import build_node
from proto.control.modbus import ModbusTag

NODE = """\
[node]
group = "g"
edge = "e"
state_dir = "{state}"

[[devices]]
name = "press"
driver = "modbus"
connection = {{ host = "192.0.2.1" }}
tags = [
    {{ name = "only-in-this-test", address = "holding:0", datatype = "int16", unit = "bar" }},
]
"""


def count_documents() -> int:
    """Return how many documents of the test's tag are alive."""
    alive = (each for each in gc.get_objects() if isinstance(each, ModbusTag))
    return sum(tag.name == "only-in-this-test" for tag in alive)


def test_a_node_does_not_keep_the_documents_of_its_tags(tmp_path: Path) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(NODE.format(state=tmp_path / "state"))
    node, bd_seq = build_node(file, watch=False)
    try:
        gc.collect()
        assert count_documents() == 0, "of a large plant they were most of its memory"
        assert list(node.status().devices) == ["press"]
    finally:
        bd_seq.close()
