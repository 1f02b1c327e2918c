"""Faults on demand: what a simulated device does instead of answering as it should.

Pure: decides by its own seeded chance what goes out and when; the server does it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

KINDS: Final[Mapping[str, tuple[float, float, float]]] = {
    "delay": (0.5, 0, 3600),
    "drop": (1.0, 0, 1),
    "exception": (4, 1, 255),
    "garbage": (1.0, 0, 1),
    "disconnect": (1.0, 0, 1),
    "slow": (0.05, 0, 60),
}
"""Kind → default, lowest and highest value: seconds, share of requests, or exception code."""

EXPECTED: Final = (
    "[DEVICE:]KIND[=VALUE] with delay=SECONDS, drop=SHARE, exception=CODE, garbage=SHARE,"
    " disconnect=SHARE or slow=SECONDS a byte"
)
_HEADER_SIZE = 7


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: one of ``KINDS``.
        value: its seconds, share or code.
        device: which device, from 1; all when absent.
    """

    kind: str
    value: float
    device: int | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens in place of an answer.

    Attributes:
        wait_s: before anything is sent.
        pieces: what is sent.
        apart_s: between two pieces.
        hang_up: whether the connection is closed then.
    """

    wait_s: float
    pieces: Sequence[bytes]
    apart_s: float = 0.0
    hang_up: bool = False


def parse_fault(
    text: str,
    kinds: Mapping[str, tuple[float, float, float]] = KINDS,
    expected: str = EXPECTED,
) -> Fault:
    """Read ``7:delay=0.2``, ``drop=0.1``, ``garbage``.

    Args:
        text: what was given.
        kinds: what a simulator can do, as ``KINDS``.
        expected: the same in words.

    Raises:
        ValueError: what was found and what was expected.
    """
    device_text, colon, rest = text.rpartition(":")
    kind, equals, value_text = rest.partition("=")
    if kind not in kinds:
        raise ValueError(f"fault {text!r} is not understood, expected {expected}")
    default, low, high = kinds[kind]
    try:
        value = float(value_text) if equals else default
        device = int(device_text) if colon else None
    except ValueError:
        raise ValueError(f"fault {text!r} is not understood, expected {expected}") from None
    if not low <= value <= high:
        raise ValueError(f"fault {text!r}: value is {value:g}, expected {low:g} to {high:g}")
    if device is not None and device < 1:
        raise ValueError(f"fault {text!r}: device is {device}, expected 1 or above")
    return Fault(kind, value, device)


def refuse_modbus(answer: bytes, code: int) -> bytes:
    """Return the exception response of Modbus TCP in place of an answer."""
    header = answer[:4] + b"\0\x03" + answer[6:_HEADER_SIZE]
    return header + bytes([answer[_HEADER_SIZE] | 0x80, code])


class Faults:
    """All faults of a simulator.

    Args:
        faults: what devices do.
        seed: of their chance.
        refuse: makes the protocol's refusal of an answer and an exception code.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int = 1,
        refuse: Callable[[bytes, int], bytes] = refuse_modbus,
    ) -> None:
        self._faults = faults
        self._refuse = refuse
        self._random = Random(seed)  # noqa: S311  # chance, not cryptography

    def behaviour(self, device: int, answer: bytes) -> Behaviour:
        """Return what a device, from 1, does with an answer frame."""
        behaviour = Behaviour(0.0, [answer])
        for fault in self._faults:
            if fault.device in {None, device}:
                behaviour = self._apply(fault, behaviour, answer)
        return behaviour

    def _apply(self, fault: Fault, so_far: Behaviour, answer: bytes) -> Behaviour:
        match fault.kind:
            case "delay":
                return Behaviour(
                    so_far.wait_s + fault.value, so_far.pieces, so_far.apart_s, so_far.hang_up
                )
            case "exception":
                return Behaviour(so_far.wait_s, [self._refuse(answer, int(fault.value))])
            case "slow":
                single = [bytes([byte]) for piece in so_far.pieces for byte in piece]
                return Behaviour(so_far.wait_s, single, fault.value, so_far.hang_up)
        if self._random.random() >= fault.value:
            return so_far
        if fault.kind == "garbage":
            return Behaviour(so_far.wait_s, [self._random.randbytes(len(answer))])
        return Behaviour(so_far.wait_s, [], hang_up=fault.kind == "disconnect")
