"""Values to be sent: checked, then as the client library packs them.

Pure but for the library's types. Knows built-in types; structures are another module's business.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncua import ua
from asyncua.ua import ua_binary
from asyncua.ua.uaerrors import UaError

from edge_node.drivers.opcua.kinds import BY_CODE, Kind, check_writable, describe_code, to_ticks

_MAKERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "datetime": lambda value: ua.win_epoch_to_datetime(to_ticks(value)),
    "nodeid": ua.NodeId.from_string,
    "qualifiedname": ua.QualifiedName.from_string,
    "localizedtext": ua.LocalizedText,
    "statuscode": ua.StatusCode,
    "xmlelement": ua.XmlElement,
}
_BYTE_STRING: Final = 15
_NULL: Final = b"\xff\xff\xff\xff"
"""A ByteString that is not there: the length -1 (OPC 10000-6 5.2.2.7)."""
_EXPANDED_NODE_ID: Final = 18


def make_variant(
    kind: Kind, value: Any, *, array: bool, dimensions: tuple[int, ...] = ()
) -> ua.Variant:
    """Return a value as the wire has it.

    Args:
        kind: what it must be.
        value: one value, or a list of them, row after row where there are several dimensions.
        array: whether it must be a list.
        dimensions: of the node's array; none for arrays of one dimension.

    Raises:
        ValueError: it does not fit; found and expected.
    """
    checked = check_writable(value, kind, array=array)
    try:
        if (make := _MAKERS.get(kind.name)) is not None:
            checked = [make(each) for each in checked] if array else make(checked)
    except UaError as exc:
        raise ValueError(str(exc)) from exc
    return ua.Variant(
        checked, ua.VariantType(kind.code), Dimensions=list(dimensions) or None, is_array=array
    )


def encode_field(code: int, value: Any) -> bytes:
    """Return one value of a structure as the wire has it.

    Args:
        code: the built-in type of the field.
        value: as it was published; bytes as hexadecimal digits too.

    Raises:
        ValueError: it does not fit; found and expected.
    """
    kind = BY_CODE.get(code)
    if kind is None or code == _EXPANDED_NODE_ID:
        raise ValueError(f"is of {describe_code(code)}, which is not written")
    if code == _BYTE_STRING:
        if value is None:
            return _NULL
        if isinstance(value, str):
            value = _from_hex(value)
    checked = check_writable(value, kind, array=False)
    try:
        if (make := _MAKERS.get(kind.name)) is not None:
            checked = make(checked)
    except UaError as exc:
        raise ValueError(str(exc)) from exc
    packed: bytes = ua_binary.pack_uatype(ua.VariantType(code), checked)
    return packed


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise ValueError(f"found {text!r}, expected hexadecimal digits") from exc
