# SPDX-License-Identifier: Apache-2.0
"""Write protobuf by hand, right or wrong, for tests of the ONNX reader."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """Write a number of at most 64 bits in its shortest form."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | int) -> bytes:
    """Write a field of bytes with their length, or of a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value
