"""Whatever stands in a member's text is refused, or filled to the last brace."""

from hypothesis import given
from hypothesis import strategies as st

from proto.control.template import ParameterType, ParameterValue
from proto.control.template_text import check_text, fill_text, fill_value, has_placeholder

TYPES: dict[str, ParameterType] = {"base": "integer", "place": "string"}
VALUES: dict[str, ParameterValue] = {"base": 40, "place": "{hall}"}
FILLED = {
    "{base}": "40",
    "{base+2}": "42",
    "{base - 3}": "37",
    "{place}": "{hall}",
    "{{": "{",
    "}}": "}",
    "x": "x",
}


@given(st.lists(st.sampled_from(sorted(FILLED)), max_size=8))
def test_placeholders_are_filled_once_and_braces_are_halved(pieces: list[str]) -> None:
    text = "".join(pieces)

    assert check_text(text, TYPES) == []
    assert fill_text(text, VALUES) == "".join(FILLED[piece] for piece in pieces)


@given(st.text("{}base+-1 ", max_size=20))
def test_a_text_that_is_not_understood_is_refused(text: str) -> None:
    if check_text(text, TYPES):
        assert has_placeholder(text)
    else:
        filled = fill_text(text, VALUES)
        if not has_placeholder(text):
            assert filled == text.replace("{{", "{").replace("}}", "}") == fill_value(text, VALUES)


@given(st.text(max_size=30))
def test_a_text_with_its_braces_doubled_is_itself(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert check_text(doubled, TYPES) == []
    assert fill_text(doubled, VALUES) == text


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**17))
def test_counting_on_is_exact(base: int, offset: int) -> None:
    assert fill_text(f"r:{{base+{offset}}}", {"base": base}) == f"r:{base + offset}"
    assert fill_value(f"{{base-{offset}}}", {"base": base}) == base - offset
