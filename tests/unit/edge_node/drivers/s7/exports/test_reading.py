"""Exports as TIA Portal and STEP 7 write them, and the tags that they become."""

import io
from typing import Any
from zipfile import ZipFile

import pytest

from edge_node.drivers.base import ConfigError
from edge_node.drivers.s7.exports.reading import Export, is_export, read_export


def tags(export: Export) -> list[tuple[Any, ...]]:
    return [(tag.name, tag.address, tag.datatype, tag.description) for tag in export.tags]


def read(name: str, text: str, **numbers: int) -> Export:
    return read_export([(name, text.encode())], numbers)


TIA_SOURCE = """\
\ufeffTYPE "Drive"
VERSION : 0.1
   STRUCT
      Speed : Int;   // rpm
      Ok : Bool;
   END_STRUCT;

END_TYPE

DATA_BLOCK "Mixer"
{ S7_Optimized_Access := 'FALSE' }
VERSION : 0.1
NON_RETAIN
   STRUCT
      Version { ExternalWritable := 'False'} : Real := 1.5;   // not a head line
      "on/off" : Bool;
      Name : String[16] := 'a;b';
      Temps : Array[0..9] of Real := [1.0, 2(3.0)];
      Drives : Array[1..2] of "Drive";
      Inner : Struct   // inside
         X : Bool;
      END_STRUCT;
   END_STRUCT;


BEGIN
   Version := 2.0;
   Drives[1].Speed := 7;

END_DATA_BLOCK
"""


def test_a_source_of_tia_portal_is_read_with_its_types() -> None:
    export = read("Mixer.db", TIA_SOURCE.replace("\n", "\r\n"), mixer=5)
    assert tags(export) == [
        ("Mixer/Version", "DB5.DBD0", "real", "not a head line"),
        ("Mixer/on_off", "DB5.DBX4.0", "bool", None),
        ("Mixer/Name", "DB5.DBB6", "string", None),
        ("Mixer/Temps", "DB5.DBD24", "real", None),
        ("Mixer/Drives/1/Speed", "DB5.DBW64", "int", "rpm"),
        ("Mixer/Drives/1/Ok", "DB5.DBX66.0", "bool", None),
        ("Mixer/Drives/2/Speed", "DB5.DBW68", "int", "rpm"),
        ("Mixer/Drives/2/Ok", "DB5.DBX70.0", "bool", None),
        ("Mixer/Inner/X", "DB5.DBX72.0", "bool", None),
    ]
    assert [tag.count for tag in export.tags if tag.count] == [10]
    assert export.tags[2].length == 16


def test_a_block_without_number_asks_for_it() -> None:
    with pytest.raises(
        ConfigError, match=r"'Mixer' has no number in the export.*--block 'Mixer=1'"
    ):
        read("Mixer.db", TIA_SOURCE)


AWL = """\
TYPE UDT 7
TITLE = a STRUCT of one
VERSION : 0.1


  STRUCT
   Pressure : REAL ;	//bar
  END_STRUCT ;
END_TYPE

DATA_BLOCK DB 10
TITLE =Recipes; all of them
AUTHOR : Me
VERSION : 0.1


  STRUCT
   Number : INT  := 1;	//Active recipe
   Steps : ARRAY  [1 .. 3 ] OF //times
   S5TIME ;
   Tank : UDT 7;
   Alarm,Warning : BOOL ;
  END_STRUCT ;
BEGIN
   Number := 1;
END_DATA_BLOCK

DATA_BLOCK DB 11
TITLE =
 UDT 7
BEGIN
END_DATA_BLOCK

DATA_BLOCK DB 12
 FB 3
BEGIN
END_DATA_BLOCK
"""


def test_a_source_of_step_7_is_read() -> None:
    export = read("blocks.awl", AWL)
    assert tags(export) == [
        ("DB10/Number", "DB10.DBW0", "int", "Active recipe"),
        ("DB10/Steps", "DB10.DBW2", "s5time", "times"),
        ("DB10/Tank/Pressure", "DB10.DBD8", "real", "bar"),
        ("DB10/Alarm", "DB10.DBX12.0", "bool", None),
        ("DB10/Warning", "DB10.DBX12.1", "bool", None),
        ("DB11/Pressure", "DB11.DBD0", "real", "bar"),
    ]
    assert [(one.name, one.reason) for one in export.left_out] == [
        ("DB12", "is an instance of FB3, whose declaration is not among the files")
    ]


def test_an_optimized_block_is_told_and_left_out() -> None:
    export = read("Mixer.db", TIA_SOURCE.replace("'FALSE'", "'TRUE'"), Mixer=5)
    assert not export.tags
    assert "is an optimized block, which has no addresses" in export.left_out[0].reason


def test_a_mistake_in_a_source_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^a.db: line 3: found 'END_STRUCT', expected ';'"):
        read("a.db", 'DATA_BLOCK "A"\n  STRUCT\n  X : Int END_STRUCT;\nEND_DATA_BLOCK\n')
    with pytest.raises(ConfigError, match=r"a.db: the source ends within a declaration"):
        read("a.db", 'DATA_BLOCK "A"\n  STRUCT\n  X : Int')


SIMATIC_DB = """\
<?xml version="1.0" encoding="utf-8"?>
<Document>
  <Engineering version="V17" />
  <SW.Blocks.GlobalDB ID="0">
    <AttributeList>
      <Interface><Sections xmlns="http://www.siemens.com/automation/Openness/SW/Interface/v5">
  <Section Name="Static">
    <Member Name="Speed" Datatype="Real" Remanence="NonRetain">
      <AttributeList>
        <BooleanAttribute Name="ExternalWritable" SystemDefined="true">true</BooleanAttribute>
        <IntegerAttribute Name="Offset" Informative="true" SystemDefined="true">0</IntegerAttribute>
      </AttributeList>
      <Comment>
        <MultiLanguageText Lang="de-DE">Drehzahl</MultiLanguageText>
      </Comment>
    </Member>
    <Member Name="Later" Datatype="Int">
      <AttributeList>
        <IntegerAttribute Name="Offset" Informative="true">160</IntegerAttribute>
      </AttributeList>
    </Member>
    <Member Name="Drives" Datatype="Array[0..1] of &quot;Drive&quot;">
      <Sections>
        <Section Name="None">
          <Member Name="Ok" Datatype="Bool" />
          <Member Name="When" Datatype="DTL" Version="1.0">
            <Sections><Section Name="None">
              <Member Name="YEAR" Datatype="UInt" />
            </Section></Sections>
          </Member>
        </Section>
      </Sections>
    </Member>
    <Member Name="Motor" Datatype="Struct">
      <Member Name="Flags" Datatype="Array[0..15] of Bool" />
    </Member>
  </Section>
</Sections></Interface>
      <MemoryLayout>Standard</MemoryLayout>
      <Name>Mixer</Name>
      <Number>5</Number>
      <ProgrammingLanguage>DB</ProgrammingLanguage>
    </AttributeList>
  </SW.Blocks.GlobalDB>
</Document>
"""


def test_a_data_block_of_openness_is_read_with_its_number_and_offsets() -> None:
    export = read("Mixer.xml", SIMATIC_DB)
    assert tags(export) == [
        ("Mixer/Speed", "DB5.DBD0", "real", "Drehzahl"),
        ("Mixer/Later", "DB5.DBW20", "int", None),
        ("Mixer/Drives/0/Ok", "DB5.DBX22.0", "bool", None),
        ("Mixer/Drives/0/When", "DB5.DBB24", "dtl", None),
        ("Mixer/Drives/1/Ok", "DB5.DBX36.0", "bool", None),
        ("Mixer/Drives/1/When", "DB5.DBB38", "dtl", None),
        ("Mixer/Motor/Flags", "DB5.DBX50.0", "bool", None),
    ]


def test_an_optimized_block_of_openness_is_left_out() -> None:
    export = read("Mixer.xml", SIMATIC_DB.replace("Standard", "Optimized"))
    assert not export.tags
    assert export.left_out[0].name == "Mixer"


def test_a_type_may_come_in_a_file_of_its_own() -> None:
    block = SIMATIC_DB.replace(
        SIMATIC_DB[
            SIMATIC_DB.index("      <Sections>") : SIMATIC_DB.index(
                '    </Member>\n    <Member Name="Motor"'
            )
        ],
        "",
    )
    kind = """<Document><SW.Types.PlcStruct ID="0"><AttributeList><Interface><Sections>
      <Section Name="None"><Member Name="Ok" Datatype="Bool" /></Section></Sections></Interface>
      <Name>Drive</Name></AttributeList></SW.Types.PlcStruct></Document>"""
    files = [("Mixer.xml", block.encode()), ("Drive.xml", kind.encode())]
    names = [tag.name for tag in read_export(files, {}).tags]
    assert "Mixer/Drives/1/Ok" in names
    with pytest.raises(ConfigError, match=r'Mixer/Drives: type "Drive" is not known'):
        read_export(files[:1], {})


TAG_TABLE = """\
<?xml version="1.0" encoding="utf-8"?>
<Document>
  <SW.Tags.PlcTagTable ID="0">
    <AttributeList><Name>Default tag table</Name></AttributeList>
    <ObjectList>
      <SW.Tags.PlcTag ID="1" CompositionName="Tags">
        <AttributeList>
          <DataTypeName>Bool</DataTypeName>
          <LogicalAddress>%I0.1</LogicalAddress>
          <Name>Start</Name>
        </AttributeList>
        <ObjectList><MultilingualText ID="2" CompositionName="Comment"><ObjectList>
          <MultilingualTextItem ID="3" CompositionName="Items"><AttributeList>
            <Culture>en-US</Culture><Text>Start button</Text>
          </AttributeList></MultilingualTextItem>
        </ObjectList></MultilingualText></ObjectList>
      </SW.Tags.PlcTag>
      <SW.Tags.PlcTag ID="4" CompositionName="Tags">
        <AttributeList>
          <DataTypeName>"Drive"</DataTypeName>
          <LogicalAddress>%Q10.0</LogicalAddress>
          <Name>Drive 1</Name>
        </AttributeList>
      </SW.Tags.PlcTag>
    </ObjectList>
  </SW.Tags.PlcTagTable>
  <SW.Types.PlcStruct ID="0"><AttributeList><Interface><Sections><Section Name="None">
    <Member Name="Ok" Datatype="Bool" /><Member Name="Speed" Datatype="Int" />
  </Section></Sections></Interface><Name>Drive</Name></AttributeList></SW.Types.PlcStruct>
</Document>
"""


def test_a_tag_table_of_openness_is_read() -> None:
    assert tags(read("tags.xml", TAG_TABLE)) == [
        ("Start", "I0.1", "bool", "Start button"),
        ("Drive 1/Ok", "Q10.0", "bool", None),
        ("Drive 1/Speed", "QW12", "int", None),
    ]


def test_a_tag_table_of_the_editor_is_read() -> None:
    text = """<?xml version='1.0' encoding='utf-8'?>
<Tagtable name='Default tag table'>
  <Tag type='DInt' hmiVisible='True' retain='False' remark='Sum' addr='%MD100'>Total</Tag>
  <Tag type='Int' hmiVisible='True' remark='' addr='%MW21'>Odd</Tag>
  <Tag type='Real' hmiVisible='True' remark='' addr='%MW4'>Wide</Tag>
  <Constant type='Int' remark='' value='222'>Const_1</Constant>
</Tagtable>"""
    export = read("tags.xml", text)
    assert tags(export) == [("Total", "MD100", "dint", "Sum"), ("Odd", "MW21", "int", None)]
    assert [(one.name, one.reason) for one in export.left_out] == [
        ("Wide", "real at an address of width W, expected another type")
    ]


TIA_SDF = """\
"Run","%M0.0","Bool","True","True","False","Run flag","","True"
"Speed","%MD4","Real","True","True","False","Speed, rpm","",""
"Const_1","CONSTANT","Int","","","","Constant example","222",""
"""
CLASSIC_SDF = """\
"Start","E      0.1","BOOL","Taste"
"Level","MW    20","INT",""
"Analog","PEW   256","WORD","Wert"
"Delay","T        5","TIMER",""
"Pieces","Z        3","COUNTER",""
"Recipes","DB    10","DB    10","a block"
"Cycle","OB     1","OB     1",""
"""
ASC = """\
126,Start                   E       0.1 BOOL      Taste
126,Level                   MW     20   INT
126,Recipes                 DB     10   DB     10 a block
"""
SEQ = "\tE 0.1\tStart\tTaste\n\tMW 20\tLevel\t\n\tT 5\tDelay\t\n\tDB 10\tRecipes\ta block\n"
CSV = """\
Name;Pfad;Datentyp;Logische Adresse;Kommentar;In HMI sichtbar
Start;Standard-Variablentabelle;Bool;%E0.1;Taste;True
Level;Standard-Variablentabelle;Int;%MW20;;True
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "tags.sdf",
            TIA_SDF,
            [("Run", "M0.0", "bool", "Run flag"), ("Speed", "MD4", "real", "Speed, rpm")],
        ),
        (
            "symbols.sdf",
            CLASSIC_SDF,
            [
                ("Start", "I0.1", "bool", "Taste"),
                ("Level", "MW20", "int", None),
                ("Analog", "PIW256", "word", "Wert"),
                ("Delay", "T5", "s5time", None),
                ("Pieces", "C3", "counter", None),
            ],
        ),
        (
            "symbols.asc",
            ASC,
            [("Start", "I0.1", "bool", "Taste"), ("Level", "MW20", "int", None)],
        ),
        (
            "symbols.seq",
            SEQ,
            [
                ("Start", "I0.1", "bool", "Taste"),
                ("Level", "MW20", "word", None),
                ("Delay", "T5", "s5time", None),
            ],
        ),
        (
            "PLCTags.csv",
            CSV,
            [("Start", "I0.1", "bool", "Taste"), ("Level", "MW20", "int", None)],
        ),
    ],
)
def test_tables_of_symbols_are_read(name: str, text: str, expected: list[Any]) -> None:
    assert is_export(name, text.encode())
    assert tags(read(name, text)) == expected


def test_a_symbol_table_names_blocks_and_types() -> None:
    source = AWL.replace("DATA_BLOCK DB 10", 'DATA_BLOCK "Recipes"').replace(
        "Tank : UDT 7", 'Tank : "Tank type"'
    )
    symbols = CLASSIC_SDF + '"Tank type","UDT    7","UDT    7",""\n'
    files = [("a.awl", source.encode()), ("s.sdf", symbols.encode())]
    found = {tag.name: tag.address for tag in read_export(files, {}).tags}
    assert found["Recipes/Tank/Pressure"] == "DB10.DBD8"
    assert found["Level"] == "MW20"


def test_a_workbook_of_tags_is_read() -> None:
    strings = ["Name", "Path", "Data Type", "Logical Address", "Comment", "Run", "Bool"]
    shared = "".join(f"<si><t>{text}</t></si>" for text in strings)
    head = "".join(f'<c r="{"ABCDE"[i]}1" t="s"><v>{i}</v></c>' for i in range(5))
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"<row>{head}</row>"
        '<row><c r="A2" t="s"><v>5</v></c><c r="C2" t="s"><v>6</v></c>'
        '<c r="D2" t="inlineStr"><is><t>%M0.0</t></is></c></row>'
        "</sheetData></worksheet>"
    )
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst>{shared}</sst>")
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    export = read_export([("PLCTags.xlsx", file.getvalue())], {})
    assert tags(export) == [("Run", "M0.0", "bool", None)]
    with pytest.raises(ConfigError, match=r"a.xlsx: is no workbook"):
        read_export([("a.xlsx", b"PK\x03\x04nonsense")], {})


def test_old_files_are_in_the_encoding_of_their_windows() -> None:
    export = read_export([("s.sdf", '"Füllen","A 0.1","BOOL","Ölstand"\n'.encode("cp1252"))], {})
    assert tags(export) == [("Füllen", "Q0.1", "bool", "Ölstand")]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("<a", "a.xml: is no XML"),
        ("<Document><X/></Document>", "a.xml: XML has Document, expected data blocks"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><x/>', "a.xml: XML declares entities"),
    ],
)
def test_xml_that_is_no_export_is_refused(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        read("a.xml", text)


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Run stands twice, at M0\.0 and M0\.1"):
        read("a.sdf", '"Run","%M0.0","Bool",""\n"Run","%M0.1","Bool",""\n')


def test_what_can_be_no_tag_is_left_out_with_the_reason() -> None:
    text = '"","%M0.0","Bool",""\n"End","%MD65534","Real",""\n"Run","%M0.1","Bool",""\n'
    export = read("a.sdf", text)
    assert [tag.name for tag in export.tags] == ["Run"]
    assert [one.reason for one in export.left_out] == [
        "String should have at least 1 character",
        "real at MD65534 ends above byte 65535",
    ]


def test_a_plain_table_is_no_export() -> None:
    assert not is_export("tags.csv", b"name,address,datatype\nA,DB1.DBW0,int\n")
