"""The two record types: studies (encoded views) and examples (uint8 arrays).

Features of a study: `index`, `labels` (22 bytes, 0 or 1), `split`, and eight entries each, in view
order, of `views` (encoded bytes without metadata), `sha256` (of these), `original_sha256` (of the
file they came from) and `height`, `width` (pixels); all empty or 0 where a view is absent. Where the
cohort has clinical data, `clinical`: six integers, the values of `clinical.MODEL_VARIABLES`.
Features of an example: `index`, `labels` (22 bytes), `present` (8 bytes, 1 where the view exists),
`views` (views x rows x columns x channels bytes): a reshape is all the decoding there is, and what
the views were before preprocessing, `sha256`, `height` and `width`, as in the study. Where the study
has `clinical`, so has its example: as `clinical.encode` makes it, 48 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angiopipe.records.example import decode_example, encode_example


@dataclass(frozen=True)
class StudyRecord:
    """One study: its pixels as they came, its labels, and nothing else about the patient.

    Attributes:
      index: the study id.
      split: train, validation or test.
      labels: (22,) uint8, in the order of `study.LABELS`.
      views: eight encoded images, in the order of `study.VIEWS`; empty where a view is absent.
      sha256: of each view's bytes, hexadecimal.
      original_sha256: of the file each view came from.
      sizes: (rows, columns) of each view, pixels.
      clinical: values of `clinical.MODEL_VARIABLES`; none where the cohort has no clinical data.
    """

    index: str
    split: str
    labels: np.ndarray
    views: tuple[bytes, ...]
    sha256: tuple[str, ...]
    original_sha256: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    clinical: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return encode_example(
            {
                "index": [self.index.encode()],
                "split": [self.split.encode()],
                "labels": [np.asarray(self.labels, np.uint8).tobytes()],
                "views": list(self.views),
                "sha256": [digest.encode() for digest in self.sha256],
                "original_sha256": [digest.encode() for digest in self.original_sha256],
                "height": [rows for rows, _ in self.sizes],
                "width": [columns for _, columns in self.sizes],
                **({"clinical": list(self.clinical)} if self.clinical else {}),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> StudyRecord:
        features = decode_example(payload)
        return cls(
            index=features["index"][0].decode(),
            split=features["split"][0].decode(),
            labels=np.frombuffer(features["labels"][0], np.uint8),
            views=tuple(features["views"]),
            sha256=tuple(digest.decode() for digest in features["sha256"]),
            original_sha256=tuple(digest.decode() for digest in features["original_sha256"]),
            sizes=tuple(zip(features["height"], features["width"], strict=True)),
            clinical=tuple(features.get("clinical", ())),
        )


@dataclass(frozen=True)
class ExampleRecord:
    """One study ready for training.

    Attributes:
      index: the study id.
      labels: (22,) uint8, in the order of `study.LABELS`.
      present: (8,) uint8, 1 where the view exists.
      views: (8, rows, columns, channels) uint8; zeros where a view is absent.
      sha256: of each view in the study it was made from, whatever the recipe; empty where absent.
      sizes: (rows, columns) of each view there, pixels; 0 where absent.
      clinical: (12,) float32, what `clinical.encode` makes of the study's; None where it has none.
    """

    index: str
    labels: np.ndarray
    present: np.ndarray
    views: np.ndarray
    sha256: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    clinical: np.ndarray | None = None

    def encode(self) -> bytes:
        clinical = {} if self.clinical is None else {"clinical": [self.clinical.astype("<f4").tobytes()]}
        return encode_example(
            {
                "index": [self.index.encode()],
                "labels": [np.asarray(self.labels, np.uint8).tobytes()],
                "present": [np.asarray(self.present, np.uint8).tobytes()],
                "views": [np.ascontiguousarray(self.views, np.uint8).tobytes()],
                "sha256": [digest.encode() for digest in self.sha256],
                "height": [rows for rows, _ in self.sizes],
                "width": [columns for _, columns in self.sizes],
                **clinical,
            }
        )

    @classmethod
    def decode(cls, payload: bytes, shape: tuple[int, int, int, int]) -> ExampleRecord:
        features = decode_example(payload)
        return cls(
            index=features["index"][0].decode(),
            labels=np.frombuffer(features["labels"][0], np.uint8),
            present=np.frombuffer(features["present"][0], np.uint8),
            views=np.frombuffer(features["views"][0], np.uint8).reshape(shape),
            sha256=tuple(digest.decode() for digest in features["sha256"]),
            sizes=tuple(zip(features["height"], features["width"], strict=True)),
            clinical=np.frombuffer(features["clinical"][0], "<f4") if "clinical" in features else None,
        )
