"""The inbox's nouns: where a record stands, and a run of records read back.

A record is known for ever by (uuid of its file, sequence): the uuid is stored inside the file, so an
emptied, restored or recreated file of the same name is another file, and can neither hide records below
a cursor nor repeat those above it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """Where records landed: `count` consecutive sequences of `file`, from `first`."""

    file: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one file in order. A payload of b"" failed its checksum: quarantine it.

    No record is ever empty when written, so b"" cannot be mistaken for one, and it decodes to nothing.
    """

    file: bytes
    sequences: list[int]
    payloads: list[bytes]
