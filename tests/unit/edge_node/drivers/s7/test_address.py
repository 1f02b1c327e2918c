import pytest

from edge_node.drivers.s7.address import Area, parse_address


@pytest.mark.parametrize(
    ("text", "canonical", "datatype", "length"),
    [
        ("DB1.DBD100", "DB1.DBD100", None, None),
        ("db1.dbd100", "DB1.DBD100", None, None),
        ("DB1.DBX5.2", "DB1.DBX5.2", None, None),
        ("%DB1.DBW4", "DB1.DBW4", None, None),
        ("P#DB1.DBX30.0", "DB1.DBX30.0", None, None),
        ("MW20", "MW20", None, None),
        ("MB5", "MB5", None, None),
        ("M5.2", "M5.2", None, None),
        ("%I0.1", "I0.1", None, None),
        ("E0.1", "I0.1", None, None),
        ("A0.1", "Q0.1", None, None),
        ("EW4", "IW4", None, None),
        ("AD 8", "QD8", None, None),
        ("PEW256", "PIW256", None, None),
        ("PAW256", "PQW256", None, None),
        ("PIW256", "PIW256", None, None),
        ("T5", "T5", "s5time", None),
        ("C3", "C3", "counter", None),
        ("Z3", "C3", "counter", None),
        ("%DB1.DBD100:REAL", "DB1.DBD100", "real", None),
        ("%DB1:100:REAL", "DB1.DBB100", "real", None),
        ("%DB1:5.2:BOOL", "DB1.DBX5.2", "bool", None),
        ("%DB1.DBB30:STRING(10)", "DB1.DBB30", "string", 10),
        ("%MD20:TIME_OF_DAY", "MD20", "tod", None),
        ("DB1,REAL100", "DB1.DBB100", "real", None),
        ("DB1,X5.2", "DB1.DBX5.2", None, None),
        ("DB1,DWORD10", "DB1.DBD10", None, None),
        ("DB1,STRING30.10", "DB1.DBB30", "string", 10),
        ("DB1,S5TIME4", "DB1.DBB4", "s5time", None),
        ("DB1.R100", "DB1.DBB100", "real", None),
        ("DB1.S30.10", "DB1.DBB30", "string", 10),
        ("PE.W0", "IW0", None, None),
        ("PA.B1", "QB1", None, None),
        ("MK.X5.2", "M5.2", None, None),
        ("VW1118", "DB1.DBW1118", None, None),
        ("V5.2", "DB1.DBX5.2", None, None),
        ("VB3", "DB1.DBB3", None, None),
        ("vd1024", "DB1.DBD1024", None, None),
        ("DB1,BOOL5.2", "DB1.DBX5.2", "bool", None),
        ("DB1,INT4", "DB1.DBB4", "int", None),
        ("DB1,DT8", "DB1.DBB8", "dt", None),
        ("TM4", "T4", "s5time", None),
        ("CT4", "C4", "counter", None),
        ("%DB1.DBB30:STRING[10]", "DB1.DBB30", "string", 10),
        ("DB1.DBW30:WCHAR", "DB1.DBW30", "wchar", None),
        ("DB1.DBB30:LTOD", "DB1.DBB30", "ltod", None),
    ],
)
def test_every_notation_has_one_canonical_form(
    text: str, canonical: str, datatype: str | None, length: int | None
) -> None:
    parsed = parse_address(text)
    assert (str(parsed.address), parsed.datatype, parsed.length) == (canonical, datatype, length)
    assert str(parse_address(canonical).address) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not understood"),
        ("DB1.DBQ5", "is not understood"),
        ('"Mixer".Speed', "symbolic names need the absolute address"),
        ("DB0.DBD4", "data block is 0, expected 1 to 65535"),
        ("DB1.DBX5", "names no bit, expected for example DB1.DBX5.0"),
        ("DB1.DBX5.8", "bit 8 is above 7"),
        ("DB1.DBD5.1", "has a bit and a width"),
        ("MB65536", "byte 65536 is above 65535"),
        ("T40000", "T40000 is above T32767"),
        ("%DB1.DBW0:INT(10)", "has a length, which is for strings"),
        ("DB1.DBW0:ARRAY[5..4] OF INT", "is an array of 5..4"),
        ("DB1.DI4:REAL", "names dint and real"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_address(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical", "datatype", "length", "count"),
    [
        ("%DB1.DBD100:REAL[10]", "DB1.DBD100", "real", None, 10),
        ("DB1,REAL100[10]", "DB1.DBB100", "real", None, 10),
        ("DB1.DBX5.0[12]", "DB1.DBX5.0", None, None, 12),
        ("DB1.DBX5.0:BOOL[12]", "DB1.DBX5.0", "bool", None, 12),
        ("DB1.DBD100:ARRAY[0..9] OF REAL", "DB1.DBD100", "real", None, 10),
        ("DB1.DBB0 : Array [-1 .. 1] of String[20]", "DB1.DBB0", "string", 20, 3),
        ("%DB1.DBB30:STRING(10)[5]", "DB1.DBB30", "string", 10, 5),
        ("%DB1.DBB30:STRING[10][5]", "DB1.DBB30", "string", 10, 5),
        ("DB1,STRING30.10[5]", "DB1.DBB30", "string", 10, 5),
        ("MW20[4]", "MW20", None, None, 4),
    ],
)
def test_an_array_is_told_by_its_number_of_elements(
    text: str, canonical: str, datatype: str, length: int | None, count: int
) -> None:
    parsed = parse_address(text)
    assert str(parsed.address) == canonical
    assert (parsed.datatype, parsed.length, parsed.count) == (datatype, length, count)


def test_timers_and_counters_are_counted_in_elements() -> None:
    assert Area.TIMER.is_elements
    assert not Area.DB.is_elements
