from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_node.bd_seq import BdSeqFile
from edge_node.errors import StateUnavailable
from proto.sparkplug.topics import NodeId

NODE = NodeId("plant", "line 1")


@pytest.fixture
def bd_seq(tmp_path: Path) -> Iterator[BdSeqFile]:
    made = BdSeqFile(tmp_path / "state" / "edge", NODE)
    yield made
    made.close()


def test_a_node_that_never_was_begins_with_0(bd_seq: BdSeqFile) -> None:
    assert bd_seq.read() == 0


def test_the_number_outlives_the_process(bd_seq: BdSeqFile, tmp_path: Path) -> None:
    bd_seq.write(255)
    bd_seq.close()
    again = BdSeqFile(tmp_path / "state" / "edge", NODE)
    assert again.read() == 255
    again.close()


def test_a_second_process_is_refused_and_another_node_is_not(
    bd_seq: BdSeqFile, tmp_path: Path
) -> None:
    with pytest.raises(StateUnavailable, match="another process runs edge node plant/line 1"):
        BdSeqFile(tmp_path / "state" / "edge", NODE)
    BdSeqFile(tmp_path / "state" / "edge", NodeId("plant", "line 2")).close()
    bd_seq.close()
    BdSeqFile(tmp_path / "state" / "edge", NODE).close()


@pytest.mark.parametrize("found", ["", "256", "-1", "rubbish", "\x00\xff", "9" * 5000])
def test_a_number_that_cannot_be_is_told_and_begins_anew(bd_seq: BdSeqFile, found: str) -> None:
    bd_seq._path.write_text(found, encoding="latin-1")
    with capture_logs() as logs:
        assert bd_seq.read() == 0
    assert [entry["event"] for entry in logs] == ["bd_seq_unreadable"]


def test_a_failed_write_keeps_the_old_number(bd_seq: BdSeqFile) -> None:
    bd_seq.write(7)
    bd_seq._path.with_suffix(".new").mkdir()
    with pytest.raises(StateUnavailable, match="cannot be written"):
        bd_seq.write(8)
    assert bd_seq.read() == 7


def test_a_state_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnavailable, match="expected a directory that can be written"):
        BdSeqFile(tmp_path / "file" / "state", NODE)


def test_ids_that_no_file_can_be_called_are_kept_apart(tmp_path: Path) -> None:
    nodes = [NodeId("a", ".."), NodeId("a@b", "c"), NodeId("a", "b@c"), NodeId("ü" * 80, "x" * 256)]
    files = [BdSeqFile(tmp_path, node) for node in nodes]
    for number, file in enumerate(files):
        file.write(number)
    assert [file.read() for file in files] == [0, 1, 2, 3]
    assert all(path.parent == tmp_path for path in tmp_path.iterdir())
    for file in files:
        file.close()
