"""Huffman-coded JPEG scans, walked bit by bit: every bit must belong to something.

Where a code begins depends on all codes before it. So what is needed of a code is looked up for every
bit at once, and only the walk along them is done one by one.

Source: ITU-T T.81, annexes B (markers), C (Huffman tables) and F.1.2 (sequential mode).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from angiopipe.imaging.codestream import JpegFrame, jpeg_frame

STOP = 255
"""In a table of steps: no code begins like this. No step is as long: 16 bits of code and 16 of a number."""

_DHT, _SOS, _DRI, _EOI = 0xC4, 0xDA, 0xDD, 0xD9
_BLOCK = 64


@dataclass(frozen=True)
class Table:
    """A Huffman table, looked up by the 16 bits that a code begins.

    Attributes:
      lengths: (65536,) uint8, the code's bits; 0 where no code begins like this.
      values: (65536,) uint8, what it stands for.
      steps: (65536,) uint8, the bits of the code and of the number that follows it, or `STOP`.
    """

    lengths: np.ndarray
    values: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class Scan:
    """A JPEG's first scan.

    Attributes:
      frame: rows, columns, precision and components.
      header: the scan header behind its length: components with their tables, Ss, Se, Ah and Al.
      tables: by class (0 or 1) and number.
      restart: how many units lie between restarts; 0 where there are none.
      intervals: the bytes between restarts, without stuffing.
    """

    frame: JpegFrame
    header: bytes
    tables: dict[tuple[int, int], Table]
    restart: int
    intervals: tuple[np.ndarray, ...]

    def table(self, kind: int) -> Table:
        """The table that the scan's one component uses; kind 0 is for DC and lossless, 1 for AC."""
        number = self.header[2] >> 4 if kind == 0 else self.header[2] & 15
        if (kind, number) not in self.tables:
            raise damaged("the scan's Huffman tables", "none of this number")
        return self.tables[kind, number]


def damaged(expected: str, found: str) -> ValueError:
    return ValueError(f"expected {expected} in a JPEG, found {found}; copy it again from its source")


def first_scan(encoded: bytes) -> Scan:
    """The first scan of a JPEG of one component.

    Raises:
      ValueError: there is none, or it is damaged.
    """
    frame, restart = jpeg_frame(encoded), 0
    tables: dict[tuple[int, int], Table] = {}
    for marker, segment, behind in _segments(encoded):
        if marker == _DHT:
            tables |= dict(_tables(segment))
        elif marker == _DRI:
            restart = int.from_bytes(segment[:2], "big")
        elif marker == _SOS and frame:
            if frame.components != 1 or len(segment) != 6:
                raise damaged("one sample a pixel", f"{frame.components}")
            return Scan(frame, segment, tables, restart, _intervals(encoded[behind:]))
    raise damaged("a scan", "none")


def _segments(encoded: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker and content of each segment up to the first scan, and where what follows it begins."""
    position = 2
    while position + 4 <= len(encoded) and encoded[position] == 0xFF:
        if encoded[position + 1] == 0xFF:
            position += 1
            continue
        end = position + 2 + max(2, int.from_bytes(encoded[position + 2 : position + 4], "big"))
        yield encoded[position + 1], encoded[position + 4 : end], end
        position = end


def _tables(segment: bytes) -> Iterator[tuple[tuple[int, int], Table]]:
    while len(segment) >= 17:
        counts = list(segment[1:17])
        symbols = segment[17 : 17 + sum(counts)]
        lengths, values = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
        code = 0  # The next code, as the lowest 16 bits that begin with it.
        for length, symbol in zip(np.repeat(np.arange(1, 17), counts).tolist(), symbols, strict=False):
            end = code + (1 << (16 - length))
            lengths[code:end], values[code:end] = length, symbol
            code = end
        if code > 1 << 16 or len(symbols) < sum(counts):
            raise damaged("a Huffman table", "one with more codes than there can be")
        # Of a lossless difference, 16 stands for 32,768 and is followed by no bits.
        numbers = np.where(values == 16, 0, values & 15)
        steps = np.where(lengths == 0, STOP, lengths + numbers).astype(np.uint8)
        yield (segment[0] >> 4, segment[0] & 15), Table(lengths, values, steps)
        segment = segment[17 + sum(counts) :]


def _intervals(data: bytes) -> tuple[np.ndarray, ...]:
    """Cuts a scan at its restarts, checks their order, and takes the stuffing out."""
    octets = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(octets[:-1] == 0xFF)
    places = places[(octets[places + 1] != 0) & (octets[places + 1] != 0xFF)]
    markers = octets[places + 1]
    if _EOI not in markers:
        raise damaged("a scan with its end marker", "none")
    last = int(np.argmax(markers == _EOI))
    if not np.array_equal(markers[:last], 0xD0 + np.arange(last) % 8):
        raise damaged("nothing but restarts, in their order, within a scan", "other markers")
    starts = [0, *(places[:last] + 2).tolist()]
    return tuple(_unstuffed(octets[a:b]) for a, b in zip(starts, places[: last + 1].tolist(), strict=True))


def _unstuffed(part: np.ndarray) -> np.ndarray:
    part = part[: len(part.tobytes().rstrip(b"\xff"))]  # Fill bytes before a marker.
    return np.delete(part, np.flatnonzero((part[:-1] == 0xFF) & (part[1:] == 0)) + 1)


class Bits:
    """The bits of an interval, looked at 16 at a time from any of them on."""

    def __init__(self, interval: np.ndarray):
        padded = np.concatenate([interval, np.full(8, 0xFF, np.uint8)]).astype(np.uint32)
        self._words = padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]
        self._octets = len(interval)
        self.count = 8 * len(interval)

    def looked_up(self, table: np.ndarray) -> bytes:
        """For each bit what (65536,) uint8 `table` has for the 16 bits from it on; `STOP` after the last."""
        found = np.full(self.count + 32, STOP, np.uint8)
        for bit in range(8):
            found[bit : self.count : 8] = table[self._words[: self._octets] >> (16 - bit) & 0xFFFF]
        return found.tobytes()

    def at(self, positions: np.ndarray) -> np.ndarray:
        """The 16 bits from each position on, uint32."""
        return self._words[positions >> 3] >> (16 - (positions & 7)).astype(np.uint32) & 0xFFFF

    def refuse_rest(self, end: int) -> None:
        """Refuses an interval whose last code does not end in its last byte."""
        if not self.count - 8 < end <= self.count:
            raise damaged("a scan that ends with its last code", f"{self.count - end} bits more")


def refuse_damaged_sequential(encoded: bytes) -> None:
    """Refuses a sequential JPEG of one component whose scan does not hold exactly its blocks.

    Raises:
      ValueError: it does not.
    """
    scan = first_scan(encoded)
    blocks = -(-scan.frame.rows // 8) * -(-scan.frame.columns // 8)
    apart = scan.restart or blocks
    if len(scan.intervals) != -(-blocks // apart):
        raise damaged(f"{-(-blocks // apart)} restart intervals", f"{len(scan.intervals)}")
    for number, interval in enumerate(scan.intervals):
        bits = Bits(interval)
        bits.refuse_rest(_walked_blocks(bits, scan, min(apart, blocks - number * apart)))


def _walked_blocks(bits: Bits, scan: Scan, blocks: int) -> int:
    """Where the last of so many blocks ends."""
    first, others = bits.looked_up(scan.table(0).steps), bits.looked_up(scan.table(1).steps)
    symbols, position = bits.looked_up(scan.table(1).values), 0
    for block in range(blocks):
        step, known = first[position], 1
        while step != STOP and known < _BLOCK:
            position += step
            step, symbol = others[position], symbols[position]
            # Zeros before a coefficient; sixteen of them; or nothing but zeros up to the end of the block.
            known += (symbol >> 4) + 1 if symbol & 15 or symbol == 0xF0 else _BLOCK
        if step == STOP or (known > _BLOCK and symbol & 15):
            raise damaged(f"{blocks} blocks", f"{block} up to a code that cannot be")
        position += step
    return position
