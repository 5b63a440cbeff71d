"""One study's views from encoded bytes to the uint8 array a model takes.

Beam calls this when examples are made, and the registered predictor when it scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import simplejpeg

from angiopipe.imaging import coding_vessels, decode, kium_vgg16, octoview
from angiopipe.recipe import Preprocessing

_MODULES: dict[str, Any] = {"kium_vgg16": kium_vgg16, "coding_vessels": coding_vessels, "octoview": octoview}

DECODING = 1
TRANSFORMS = {"kium_vgg16": 1, "coding_vessels": 1, "octoview": 1}
"""Versions of the pixels that `decode` and each transform give, raised with every change that moves one.
tests/unit/imaging/test_pixels.py holds the pixels of each version."""


def preprocess_study(views: Sequence[bytes], settings: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Decodes and transforms a study's views.

    Args:
      views: eight encoded images in the order of `study.VIEWS`; empty bytes where one is absent.
      settings: a recipe's preprocessing.

    Returns:
      views: (8, size, size, channels) uint8, zeros where a view is absent.
      present: (8,) uint8, 1 where there is a view.

    Raises:
      ValueError: a view cannot be decoded.
    """
    result = np.zeros(settings.shape, np.uint8)
    present = np.array([bool(view) for view in views], np.uint8)
    for position in np.flatnonzero(present).tolist():
        result[position] = preprocess_view(views[position], settings)
    return result, present


def preprocess_view(encoded: bytes, settings: Preprocessing) -> np.ndarray:
    """Decodes and transforms one view.

    Args:
      encoded: an image as ingest stores it.
      settings: a recipe's preprocessing.

    Returns:
      (size, size, channels) uint8.

    Raises:
      ValueError: the view cannot be decoded.
    """
    return _transform(settings)(decode.decode(encoded), settings)


def preprocessing_version(settings: Preprocessing) -> str:
    """What, besides its input, decides a transform's output: its fields, its pixels' version, the decoders.

    A folder of examples is named after it, so examples of other pixels are never taken for current.

    Returns:
      Such as "octoview 1, decoding 1, OpenCV 5.0.0, simplejpeg 1.9.0, fields ade1aa4eab0135f3".
    """
    kind = _kind(settings)
    pixels = f"{kind} {TRANSFORMS[kind]}, decoding {DECODING}"
    return (
        f"{pixels}, OpenCV {cv2.__version__}, simplejpeg {simplejpeg.__version__}, fields {settings.digest()}"
    )


def _transform(settings: Preprocessing) -> Callable[[np.ndarray, Preprocessing], np.ndarray]:
    transform: Callable[[np.ndarray, Preprocessing], np.ndarray] = _MODULES[_kind(settings)].transform
    return transform


def _kind(settings: Preprocessing) -> str:
    return str(settings.model_dump()["kind"])
