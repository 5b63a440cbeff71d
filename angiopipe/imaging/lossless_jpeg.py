"""JPEG Lossless (process 14), as most angiographic runs are archived: right to the last bit, or refused.

Decoders that can be had pass over damage, or clip differences that some makers' encoders wrap to the
samples' precision. Here a scan must hold exactly its samples, and arithmetic wraps.

Source: ITU-T T.81, annex H.
"""

from __future__ import annotations

import numpy as np

from angiopipe.imaging.huffman import STOP, Bits, Scan, Table, damaged, first_scan

_FARTHEST = {4: 3, 5: 2, 6: 2}
"""By predictor, how many times the range a sample may lie from what is predicted; once by the others."""


def decode(encoded: bytes) -> np.ndarray:
    """Decodes a JPEG Lossless image of one sample a pixel.

    Args:
      encoded: the codestream, from its first marker to its last.

    Returns:
      (rows, columns) uint8 up to 8 bits, else uint16.

    Raises:
      ValueError: it is none, has several samples a pixel, or is damaged.
    """
    scan = first_scan(encoded)
    rows, columns = scan.frame.rows, scan.frame.columns
    predictor, shift = scan.header[3], scan.header[5] & 15
    bits = scan.frame.precision - shift
    if not (1 <= predictor <= 7 and 1 < bits <= 16 and scan.restart % columns == 0):
        raise damaged("a predictor, a precision and restarts that the standard knows", "others")
    apart = scan.restart // columns or rows
    if len(scan.intervals) != -(-rows // apart):
        raise damaged(f"{-(-rows // apart)} restart intervals", f"{len(scan.intervals)}")
    samples = np.empty((rows, columns), np.int64)
    for number, interval in enumerate(scan.intervals):
        part = samples[number * apart : (number + 1) * apart]
        _predict(_differences(interval, part.shape, bits, scan), part, predictor, bits)
    return (samples << shift).astype(np.uint8 if scan.frame.precision <= 8 else np.uint16)


def _differences(interval: np.ndarray, shape: tuple[int, ...], precision: int, scan: Scan) -> np.ndarray:
    """(rows, columns) int64 differences of an interval."""
    bits, table, count = Bits(interval), scan.table(0), int(np.prod(shape))
    begins, end = _walked(bits.looked_up(table.steps), count)
    if len(begins) < count:
        raise damaged(f"{count} samples", f"{len(begins)}")
    bits.refuse_rest(end)
    differences = _numbers(bits, np.array(begins, np.int64), table)
    most, limit = int(np.abs(differences).max(initial=0)), _FARTHEST.get(scan.header[3], 1) << precision
    if precision < 16 and most >= limit:
        raise damaged(f"differences below {limit}", f"one of {most}")
    return differences.reshape(shape)


def _walked(steps: bytes, count: int) -> tuple[list[int], int]:
    """Where each of `count` codes begins, fewer where there are no more, and where the last ends."""
    begins, position = [], 0
    for _ in range(count):
        step = steps[position]
        if step == STOP:
            break
        begins.append(position)
        position += step
    return begins, position


def _numbers(bits: Bits, begins: np.ndarray, table: Table) -> np.ndarray:
    """The signed numbers whose codes begin there. Source: T.81 table H.2, F.2.2.1."""
    codes = bits.at(begins)
    size = table.values[codes].astype(np.int64)
    within = np.minimum(size, 15)
    number = bits.at(begins + table.lengths[codes]).astype(np.int64) >> (16 - within)
    negative = (number < 1 << np.maximum(within - 1, 0)) & (size > 0)
    return np.where(size == 16, 1 << 15, np.where(negative, number - (1 << within) + 1, number))


def _predict(differences: np.ndarray, out: np.ndarray, predictor: int, bits: int) -> None:
    """Fills (rows, columns) `out` with samples, modulo their precision, from as many differences.

    Source: T.81 H.1.2.1, table H.1.
    """
    mask = (1 << bits) - 1
    out[0] = (np.cumsum(differences[0]) + (1 << (bits - 1))) & mask
    for over, row, difference in zip(out, out[1:], differences[1:], strict=False):
        row[0] = (over[0] + difference[0]) & mask
        above, corner, rest = over[1:], over[:-1], difference[1:]
        if predictor in (2, 3):
            row[1:] = (above if predictor == 2 else corner) + rest
        elif predictor in (6, 7):
            row[1:] = _one_by_one(int(row[0]), over, difference, predictor, mask)
        else:
            rise = {1: 0, 4: above - corner, 5: (above - corner) >> 1}[predictor]
            row[1:] = row[0] + np.cumsum(rest + rise)
        row &= mask


def _one_by_one(left: int, over: np.ndarray, differences: np.ndarray, predictor: int, mask: int) -> list[int]:
    """A row but its first sample, where what is predicted depends on the sample to the left through a half."""
    row = []
    corner, *others = over.tolist()
    for above, difference in zip(others, differences[1:].tolist(), strict=True):
        predicted = above + ((left - corner) >> 1) if predictor == 6 else (left + above) >> 1
        left, corner = (predicted + difference) & mask, above
        row.append(left)
    return row
