"""Bytes ⇄ payloads: the one module to import for the codec.

=====================  ============================================================================
``decode_payload``     bytes → ``Payload``, everything checked
``encode_payload``     ``Payload`` → bytes, everything checked
``compress``           encoded payload → compressed payload (decoding needs no call of its own)
``parse``              hot path in: bytes → protobuf object
``open_envelope``      hot path in: bytes → protobuf object whose metrics are still bytes
``metric_value``       hot path in: one value of a parsed metric
``decode_metric``      one parsed metric as a plain object
``encode_samples``     hot path out: (alias, data type, value, time) → bytes of a DATA payload
=====================  ============================================================================

Foreign bytes raise ``PayloadError`` and nothing else; values of ours that do not fit raise
``WrongType`` or ``ValueOutOfRange``.
"""

from proto.sparkplug.codec_decode import (
    Envelope,
    PbMetric,
    PbPayload,
    decode_metric,
    decode_payload,
    decode_property_set,
    metric_value,
    open_envelope,
    parse,
)
from proto.sparkplug.codec_encode import build_payload, encode_payload
from proto.sparkplug.compression import Compression, compress
from proto.sparkplug.metrics import Metric, Payload
from proto.sparkplug.samples import Sample, encode_samples

__all__ = [
    "Compression",
    "Envelope",
    "Metric",
    "Payload",
    "PbMetric",
    "PbPayload",
    "Sample",
    "build_payload",
    "compress",
    "decode_metric",
    "decode_payload",
    "decode_property_set",
    "encode_payload",
    "encode_samples",
    "metric_value",
    "open_envelope",
    "parse",
]
