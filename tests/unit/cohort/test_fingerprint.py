"""The fingerprint that Kubeflow's cache goes by: content and splits."""

from __future__ import annotations

import pandas as pd

from angiopipe.cohort.fingerprint import inventory_fingerprint

TABLE = pd.DataFrame({"Index": ["1", "2"], "split": ["train", "test"]})


def test_it_names_data_and_splits_and_no_order():
    found = inventory_fingerprint("d", TABLE)
    assert inventory_fingerprint("d", TABLE[::-1]) == found
    assert inventory_fingerprint("e", TABLE) != found
    assert inventory_fingerprint("d", TABLE.assign(split=["test", "train"])) != found
