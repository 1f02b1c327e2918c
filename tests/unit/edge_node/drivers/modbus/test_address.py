import pytest

from edge_node.drivers.modbus.address import Address, Table, parse_address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("holding:100", "holding:100"),
        ("holding:0x64", "holding:100"),
        ("HR:100", "holding:100"),
        ("holding_register:100", "holding:100"),
        ("Holding Register:100", "holding:100"),
        ("holding:100.5", "holding:100.5"),
        ("holding:100:5", "holding:100.5"),
        (" input:7 ", "input:7"),
        ("ir:7", "input:7"),
        ("input:7.15", "input:7.15"),
        ("coil:0", "coil:0"),
        ("co:9", "coil:9"),
        ("discrete:3", "discrete:3"),
        ("di:3", "discrete:3"),
        ("00001", "coil:0"),
        ("10001", "discrete:0"),
        ("30001", "input:0"),
        ("40001", "holding:0"),
        ("40101", "holding:100"),
        ("49999", "holding:9998"),
        ("400001", "holding:0"),
        ("465536", "holding:65535"),
        ("40101.3", "holding:100.3"),
        ("4x101", "holding:100"),
        ("3X00008", "input:7"),
        ("0x1", "coil:0"),
        ("%MW100", "holding:100"),
        ("%MW100:X5", "holding:100.5"),
        ("%mw100.5", "holding:100.5"),
        ("%IW7", "input:7"),
        ("%M0", "coil:0"),
        ("%I3", "discrete:3"),
    ],
)
def test_every_notation_of_the_field_has_one_canonical_form(text: str, canonical: str) -> None:
    address = parse_address(text)
    assert str(address) == canonical
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100", "address '100' is not understood, expected holding:100"),
        ("", "address '' is not understood"),
        ("50001", "not understood"),
        ("holding:-1", "not understood"),
        ("holding:1.2.3", "not understood"),
        ("register:5", "table 'register' is unknown, expected holding, input, coil or discrete"),
        ("holding:70000", "address 70000 is above 65535"),
        ("465537", "address 65536 is above 65535"),
        ("40000", "counts from 0, expected 1 or above"),
        ("holding:1.16", "bit 16 is above 15, a register has 16 bits"),
        ("coil:1.0", "bit 0 of a coil is asked for, expected a register's bit"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_what_was_expected(
    text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        parse_address(text)


def test_tables_know_what_they_hold() -> None:
    assert Address(Table.COIL, 1).table.is_bits
    assert not Table.HOLDING.is_bits
    assert [table for table in Table if table.is_writable] == [Table.COIL, Table.HOLDING]
