"""Damages payloads by the million and decodes them, with bounded memory.

Usage: ``fuzz_payloads.py <mutations> <seed>``, with the repository on the module path. Prints how
many were decoded and how many refused; ends with a traceback on anything else. It is a process of
its own so that its memory can be limited: 512 MiB of address space in all.
"""

import random
import resource
import sys

from proto.sparkplug.codec import Metric, Payload, compress, decode_payload, encode_payload
from proto.sparkplug.compression import Compression
from proto.sparkplug.datatypes import ARRAY_ELEMENT, DataType
from proto.sparkplug.errors import PayloadError
from proto.sparkplug.metrics import DataSet, MetaData, Property, Template, TemplateParameter

ADDRESS_SPACE_BYTES = 512 * 2**20
EDGES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def seeds() -> list[bytes]:
    """One payload for every kind of thing that a payload can hold, plain and compressed."""
    array: dict[DataType, list[bool] | list[str]] = {
        DataType.BOOLEAN_ARRAY: [True, False, True],
        DataType.STRING_ARRAY: ["a", "", "é"],
    }
    metrics = [
        Metric("i8", DataType.INT8, -128, 1, alias=1),
        Metric("u64", DataType.UINT64, 2**64 - 1, 2, is_historical=True),
        Metric("f", DataType.FLOAT, 1.5, 3, is_transient=True),
        Metric("d", DataType.DOUBLE, -1e300, 4),
        Metric("text", DataType.TEXT, "Größe", 5),
        Metric("id", DataType.UUID, "01234567-89ab-cdef-0123-456789abcdef", 6),
        Metric("file", DataType.FILE, b"\x00\xff" * 20, 7, metadata=MetaData(True, "a/b", 40, 1)),
        Metric("null", DataType.STRING, None, 8),
        Metric(
            "table",
            DataType.DATASET,
            DataSet(("a", "b"), (DataType.INT32, DataType.STRING), ((1, "x"), (None, None))),
        ),
        Metric(
            "motor",
            DataType.TEMPLATE,
            Template(
                metrics=(
                    Metric("speed", DataType.INT16, 7),
                    Metric("inner", DataType.TEMPLATE, Template(template_ref="t")),
                ),
                template_ref="Motor",
                version="1",
                parameters=(TemplateParameter("pole", DataType.INT32, 4),),
            ),
        ),
        Metric(
            "props",
            DataType.BOOLEAN,
            True,
            9,
            properties={
                "engUnit": Property(DataType.STRING, "bar"),
                "set": Property(DataType.PROPERTY_SET, {"x": Property(DataType.DOUBLE, 1.0)}),
                "list": Property(
                    DataType.PROPERTY_SET_LIST, [{"y": Property(DataType.INT8, -1)}, {}]
                ),
            },
        ),
        *(Metric(t.name, t, array.get(t, [1, 2, 3])) for t in ARRAY_ELEMENT),
    ]
    plain = [encode_payload(Payload(1_700_000_000_000, 7, (metric,))) for metric in metrics]
    plain.append(encode_payload(Payload(1_700_000_000_000, 255, tuple(metrics), "u", b"body")))
    return 4 * plain + [compress(data, way) for data in plain for way in Compression]


def damage(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Flip, cut, repeat, insert or splice, once or twice, rarely more."""
    hurt = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        at = chance.randrange(len(hurt) + 1)
        match chance.randrange(6):
            case 0 if at < len(hurt):
                hurt[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(hurt):
                hurt[at] = chance.choice(EDGES)
            case 2:
                del hurt[at : at + chance.randint(1, 8)]
            case 3:
                hurt[at:at] = hurt[at : at + chance.randint(1, 32)]
            case 4:
                hurt[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                other = chance.choice(others)
                hurt[at:] = other[chance.randrange(len(other)) :]
    return bytes(hurt)


def main() -> None:
    mutations, seed = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    corpus = seeds()
    decoded = 0
    for _ in range(mutations):
        try:
            decode_payload(damage(chance, chance.choice(corpus), corpus))
        except PayloadError:
            continue
        decoded += 1
    sys.stdout.write(f"{decoded} decoded, {mutations - decoded} refused\n")


if __name__ == "__main__":
    main()
