"""Nothing but pixels enters a record: metadata cut out of images, pseudonyms for Index.

What is burned into the pixels (a name in a corner) stays: no metadata tells of it reliably.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

from angiopipe.imaging import decode, dicom, dicom_dataset, metadata

KEY_BYTES = 16
"""Fewest of a pseudonym's key: an Index is short, and a short key would be tried out as well."""


@dataclass(frozen=True)
class Clean:
    """An image that holds nothing but pixels.

    Attributes:
      content: JPEG or PNG bytes.
      removed: names of what is no longer in them, never values.
    """

    content: bytes
    removed: tuple[str, ...]


def clean(content: bytes, frame: int | None = None) -> Clean:
    """Takes everything but the pixels out of an image, whatever its format.

    Args:
      content: a JPEG, PNG, TIFF or DICOM file.
      frame: of a DICOM run, counted from 1; None takes the whole run.

    Raises:
      ValueError: the bytes are none of these, cannot be read, or have no such frame.
    """
    if dicom.is_dicom(content):
        return deidentify_dicom(content, frame)
    if frame not in (None, 1):
        raise ValueError(
            f"expected no frame, as only DICOM runs have some, found {frame}; correct the image manifest"
        )
    return deidentify(content)


def deidentify(content: bytes) -> Clean:
    """Cuts metadata out of a JPEG or PNG; writes a TIFF's pixels as PNG.

    The coded pixels stay bit for bit, and the result decodes to the same pixels. Where metadata
    changed what is seen (EXIF orientation, an animation), the upright pixels are written as PNG.

    Args:
      content: a JPEG, PNG or TIFF file.

    Raises:
      ValueError: the bytes are none of these, or cannot be read.
    """
    if content.startswith(metadata.JPEG_START):
        cut, removed = metadata.strip_jpeg(content)
        # Of all that is cut, OpenCV heeds the orientation alone, in an APP1; no scan holds its marker.
        return (
            _same_pixels(content, cut, removed)
            if removed and metadata.ORIENTATION in content
            else Clean(cut, removed)
        )
    if content.startswith(metadata.PNG_START):
        cut, removed = metadata.strip_png(content)
        return _same_pixels(content, cut, removed) if removed else Clean(cut, removed)
    if content.startswith(metadata.TIFF_STARTS):
        # Pillow's reader of it takes long to import, and most cohorts have none.
        from angiopipe.imaging import tiff

        return Clean(metadata.encode_png(tiff.read(content)), tiff.names(content))
    raise ValueError(
        f"expected a JPEG, PNG, TIFF or DICOM file, found {len(content)} bytes that are none; export it again"
    )


def deidentify_dicom(content: bytes, frame: int | None = None) -> Clean:
    """Writes a DICOM view, as `dicom.read` sees it, as PNG.

    Args:
      content: the file.
      frame: counted from 1; None takes the only frame, or projects the run.

    Raises:
      ValueError: it cannot be read, or has no such frame.
    """
    return Clean(metadata.encode_png(dicom.read(content, frame)), dicom_dataset.element_names(content))


def pseudonym(index: str, key: bytes) -> str:
    """A stand-in for an Index that only the key's holder can make again.

    It begins with a letter, so that no spreadsheet takes `12e4567890123456` for a number.

    Args:
      index: the study id.
      key: secret, `KEY_BYTES` or more.

    Returns:
      `p` and 16 hexadecimal digits. Two studies collide with a chance of n squared / 2 ** 65.

    Raises:
      ValueError: the key is too short.

    Source: HMAC, RFC 2104, with SHA-256.
    """
    if len(key) < KEY_BYTES:
        raise ValueError(
            f"expected a key of {KEY_BYTES} bytes or more, found {len(key)}; make one with openssl rand 32"
        )
    return "p" + hmac.new(key, index.encode(), hashlib.sha256).hexdigest()[:16]


def removal_report(removals: Iterable[tuple[str, Sequence[str]]]) -> pd.DataFrame:
    """Counts what was removed.

    Args:
      removals: one entry a view: its study's Index, and `Clean.removed`.

    Returns:
      Columns `what`, `studies` and `views` (how many of each), the most frequent first.
    """
    import pandas as pd  # Beam's workers import this module too, and have no use for tables.

    views: dict[str, list[str]] = defaultdict(list)
    for index, removed in removals:
        for what in dict.fromkeys(removed):
            views[what].append(index)
    rows = [(what, len(set(indices)), len(indices)) for what, indices in views.items()]
    rows.sort(key=lambda row: (-row[2], row[0]))
    return pd.DataFrame(rows, columns=["what", "studies", "views"])


def _same_pixels(content: bytes, cut: bytes, removed: tuple[str, ...]) -> Clean:
    """`cut` if it shows what `content` shows; otherwise the pixels of `content`, encoded anew."""
    pixels, left = _pixels(content), metadata.stored_pixels(cut)
    if left is not None and np.array_equal(pixels, left):
        return Clean(cut, removed)
    if content.startswith(metadata.JPEG_START):
        decode.whole_jpeg(content)  # In a PNG of its pixels nobody would see the damage any more.
    return Clean(metadata.encode_png(pixels), (*removed, "orientation (now upright)"))


def _pixels(content: bytes) -> np.ndarray:
    pixels = metadata.stored_pixels(content)
    if pixels is None:
        raise ValueError(
            f"expected a readable JPEG, PNG or TIFF, found {len(content)} bytes that are not one"
        )
    return pixels
