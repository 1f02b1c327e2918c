from edge_node.node_info import NodeFacts, NodeInfo, define_node_metrics
from proto.sparkplug.metrics import is_control


def test_only_what_changed_is_told() -> None:
    aliases = {
        "Node Info/Uptime": 1,
        "Node Info/Devices": 5,
        "Node Info/Devices Up": 2,
        "Node Info/Unsent Points": 3,
        "Node Info/Buffered Bytes": 4,
    }
    info = NodeInfo(aliases.__getitem__)
    assert info.changes(NodeFacts(5, 2, 1, 0, 0), 1000) == [
        (1, 5, 1000, 192),
        (5, 2, 1000, 192),
        (2, 1, 1000, 192),
        (3, 0, 1000, 192),
        (4, 0, 1000, 192),
    ]
    assert info.changes(NodeFacts(6, 2, 1, 0, 80), 2000) == [(1, 6, 2000, 192), (4, 80, 2000, 192)]
    assert info.changes(NodeFacts(6, 2, 1, 0, 80), 3000) == []


def test_control_is_offered_only_where_it_is_configured() -> None:
    def names(*, reboot: bool, next_server: bool) -> set[str | None]:
        metrics = define_node_metrics(
            version="1", facts=NodeFacts(0, 2, 0, 0, 0), reboot=reboot, next_server=next_server
        )
        return {metric.name for metric in metrics if is_control(metric.name or "")}

    assert names(reboot=False, next_server=False) == set()
    assert names(reboot=True, next_server=False) == {"Node Control/Reboot"}
    assert names(reboot=False, next_server=True) == {"Node Control/Next Server"}
