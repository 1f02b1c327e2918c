import pytest

from deploy.local.edge_reference import PAGE, UndocumentedSetting, _format_row, format_reference
from proto.control.node import NodeDocument, NodeIdentity


def test_the_page_says_what_the_documents_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == format_reference(), (
        "run python -m deploy.local.edge_reference"
    )


def test_every_section_of_the_file_has_a_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section in NodeDocument.model_fields:
        assert f"## `[{section}]`" in page or f"## `[[{section}]]`" in page


def test_a_setting_without_words_fails() -> None:
    with pytest.raises(UndocumentedSetting, match=r"NodeIdentity.nameless"):
        _format_row(NodeIdentity, "nameless", {"type": "string"}, needed=True)
