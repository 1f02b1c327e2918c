import pytest

from host_app.scope import NodeFilter
from proto.sparkplug.topics import NodeId


@pytest.mark.parametrize(
    ("groups", "nodes", "admitted"),
    [
        ((), (), True),
        (("plant",), (), True),
        (("PLANT",), (), False),
        (("other", "pl*"), (), True),
        ((), ("plant/line-?",), True),
        ((), ("line-1",), False),
        (("plant",), ("plant/line-2",), False),
    ],
)
def test_node_is_admitted_when_its_group_and_itself_match(
    groups: tuple[str, ...], nodes: tuple[str, ...], admitted: bool
) -> None:
    assert NodeFilter(groups, nodes).admits(NodeId("plant", "line-1")) is admitted
