"""The test set's name: what changes it, and what must not."""

import numpy as np
import pytest

from angiopipe.evaluation.fingerprint import studies_fingerprint

INDICES = ("1", "2", "3")
LABELS = np.eye(3, 22, dtype=np.uint8)
VIEWS = tuple(tuple(f"{study}{view}" for view in range(8)) for study in INDICES)


def test_order_does_not_count() -> None:
    turned = studies_fingerprint(INDICES[::-1], LABELS[::-1], VIEWS[::-1])
    assert turned == studies_fingerprint(INDICES, LABELS, VIEWS)
    assert len(turned) == 16


def test_index_label_view_and_membership_count() -> None:
    other = LABELS.copy()
    other[1, 5] = 1
    absent = (VIEWS[0], (*VIEWS[1][:7], ""), VIEWS[2])
    exchanged = (VIEWS[1], VIEWS[0], VIEWS[2])
    names = {
        studies_fingerprint(INDICES, LABELS, VIEWS),
        studies_fingerprint(("1", "2", "4"), LABELS, VIEWS),
        studies_fingerprint(INDICES, other, VIEWS),
        studies_fingerprint(INDICES, LABELS, absent),
        studies_fingerprint(INDICES, LABELS, exchanged),
        studies_fingerprint(INDICES[:2], LABELS[:2], VIEWS[:2]),
    }
    assert len(names) == 6


def test_a_study_that_is_there_twice_is_named() -> None:
    with pytest.raises(ValueError, match="each study once, found study 2 more than once"):
        studies_fingerprint(("1", "2", "2"), LABELS, VIEWS)
