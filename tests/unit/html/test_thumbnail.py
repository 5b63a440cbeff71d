import base64

import cv2
import numpy as np

from angiopipe.html.thumbnail import thumbnail


def decoded(source: str) -> np.ndarray:
    encoded = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))


def test_thumbnails_are_small_and_keep_their_colours() -> None:
    view = np.zeros((720, 360, 3), np.uint8)
    view[..., 0] = 250
    shown = decoded(thumbnail(view, 192))
    assert shown.shape == (192, 96, 3)
    assert shown[..., 2].mean() > 240 > 20 > shown[..., 0].mean()


def test_a_small_grey_view_keeps_its_size() -> None:
    shown = decoded(thumbnail(np.full((60, 80), 77, np.uint8), 192))
    assert shown.shape == (60, 80, 3)
    assert abs(float(shown.mean()) - 77) < 1
