"""Which normative statement of Sparkplug 3.0 each kind of violation breaks.

Kinds that may be a loss on the network rather than a fault of the node break none.
"""

from collections.abc import Mapping
from typing import Final

from proto.sparkplug.host_events import ViolationKind

STATEMENTS: Final[Mapping[str, str]] = {
    ViolationKind.TOPIC: "topic-structure",
    ViolationKind.NO_SEQ: "payloads-sequence-num-always-included",
    ViolationKind.BAD_SEQ: "payloads-sequence-num-incrementing",
    ViolationKind.NO_BD_SEQ: "topics-nbirth-bdseq-included",
    ViolationKind.BD_SEQ_MISMATCH: "payloads-ndeath-bdseq",
    ViolationKind.NO_REBIRTH_METRIC: "topics-nbirth-rebirth-metric",
    ViolationKind.NO_NAME: "payloads-name-requirement",
    ViolationKind.DUPLICATE_ALIAS: "payloads-alias-uniqueness",
    ViolationKind.DATATYPE: "payloads-metric-datatype-req",
    ViolationKind.VALUE: "payloads-metric-datatype-value-type",
    ViolationKind.PROPERTIES: "payloads-metric-propertyvalue-type-req",
    ViolationKind.UNKNOWN_METRIC: "operational-behavior-data-publish-nbirth",
    ViolationKind.UNKNOWN_DEVICE: "payloads-dbirth-order",
    ViolationKind.UNKNOWN_NODE: "principles-birth-certificates-order",
    ViolationKind.SECOND_DBIRTH: "payloads-dbirth-order",
}
"""Ids without their ``tck-id-`` prefix."""
