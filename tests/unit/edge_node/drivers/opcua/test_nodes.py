from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.drivers.opcua.nodes import (
    BrowsePath,
    NodeName,
    UnknownNamespace,
    find_index,
    name_node,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i=2258", NodeName(0, 2258)),
        ("s=Temp", NodeName(0, "Temp")),
        ("ns=2;i=5", NodeName(2, 5)),
        ("ns=2;s=Press.Temp", NodeName(2, "Press.Temp")),
        ('ns=3;s="DB".a;b=c[1]', NodeName(3, '"DB".a;b=c[1]')),
        ("nsu=urn:plant;s=Temp", NodeName("urn:plant", "Temp")),
        ("nsu=http://plant/UA/;i=7", NodeName("http://plant/UA/", 7)),
        ("ns=1;g=00000000-0000-0000-0000-000000000007", NodeName(1, UUID(int=7))),
        ("ns=1;b=AP8=", NodeName(1, b"\x00\xff")),
        ("/Objects/2:Press", BrowsePath(((0, "Objects"), (2, "Press")))),
        ("/Root/Objects/2:Press", BrowsePath(((0, "Objects"), (2, "Press")))),
        ("/Objects/{urn:a/b}x", BrowsePath(((0, "Objects"), ("urn:a/b", "x")))),
        ("/Objects/2:a&/b", BrowsePath(((0, "Objects"), (2, "a/b")))),
    ],
)
def test_every_notation_has_one_meaning(text: str, expected: NodeName | BrowsePath) -> None:
    assert parse_address(text) == expected
    assert parse_address(str(parse_address(text))) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "address is '', expected for example ns=2;s=Press.Temp"),
        ("DB1.DBD0", "address is 'DB1.DBD0', expected for example"),
        ("ns=x;s=a", "address is 'ns=x;s=a', expected"),
        ("ns=70000;i=1", "namespace 70000 is above 65535"),
        ("i=abc", "i=abc is no number from 0 to 4294967295"),
        ("i=4294967296", "i=4294967296 is no number"),
        ("ns=2;s=", "the identifier is empty"),
        ("g=7", "g=7 is no GUID"),
        ("b=%%", "b=%% is no base64"),
        ("/", "an empty name"),
        ("/Objects//x", "an empty name"),
        ("/{urn:x", "'{' without '}'"),
    ],
)
def test_what_is_no_address_says_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="address") as refused:
        parse_address(text)
    assert reason in str(refused.value)


names = st.text(min_size=1, max_size=12).filter(lambda text: text != "Root")
namespaces = st.one_of(
    st.integers(0, 65_535),
    st.text(st.characters(codec="ascii", exclude_characters=";}"), min_size=1),
)


@given(st.lists(st.tuples(namespaces, names), min_size=1, max_size=4))
def test_any_path_survives_being_written_and_read(steps: list[tuple[int | str, str]]) -> None:
    path = BrowsePath(tuple(steps))
    assert parse_address(str(path)) == path


@given(
    namespaces,
    st.one_of(
        st.integers(0, 2**32 - 1),
        st.text(min_size=1),
        st.uuids(),
        st.binary(max_size=20),
    ),
)
def test_any_node_id_survives_being_written_and_read(
    namespace: int | str, identifier: int | str | UUID | bytes
) -> None:
    node = NodeName(namespace, identifier)
    assert parse_address(str(node)) == node


def test_a_namespace_is_found_wherever_the_server_has_it() -> None:
    assert find_index("urn:b", ["", "urn:a", "urn:b"]) == 2
    assert find_index(7, [""]) == 7
    with pytest.raises(UnknownNamespace, match="'urn:c' is not on the server, which has urn:a"):
        find_index("urn:c", ["", "urn:a"])


def test_a_node_is_named_by_the_uri_of_its_namespace() -> None:
    assert str(name_node(1, "x", ["ua", "urn:a"])) == "nsu=urn:a;s=x"
    assert str(name_node(0, 85, ["ua", "urn:a"])) == "i=85"
    assert str(name_node(9, "x", ["ua", "urn:a"])) == "ns=9;s=x"
