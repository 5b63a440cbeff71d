"""TF_CONFIG from what a pod finds around it."""

from __future__ import annotations

import json

import pytest

from angiopipe.training.cluster import loopback_addresses, pod_config

POD = {"ANGIOPIPE_WORKERS": "3", "JOB_COMPLETION_INDEX": "1", "HOSTNAME": "train-7f-node-0-1"}


def test_a_trainjobs_pod_finds_its_peers():
    assert json.loads(pod_config(POD) or "") == {
        "cluster": {"worker": [f"train-7f-node-0-{k}.train-7f:2222" for k in range(3)]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize("alone", [{}, {**POD, "ANGIOPIPE_WORKERS": "1"}])
def test_one_worker_needs_no_cluster(alone):
    assert pod_config(alone) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ANGIOPIPE_WORKERS": "two"}, "ANGIOPIPE_WORKERS: expected the number of workers, found 'two'"),
        ({"ANGIOPIPE_WORKERS": "0"}, "ANGIOPIPE_WORKERS: expected the number of workers, found '0'"),
        ({"JOB_COMPLETION_INDEX": "3"}, "expected a number below ANGIOPIPE_WORKERS=3, found '3'"),
        ({"JOB_COMPLETION_INDEX": ""}, "JOB_COMPLETION_INDEX: expected a number below"),
        ({"HOSTNAME": "train-7f-node-0-2"}, "expected <job>-node-0-1 .* found 'train-7f-node-0-2'"),
        ({"HOSTNAME": "train-7f-1"}, "expected <job>-node-0-1 .* found 'train-7f-1'"),
    ],
)
def test_a_pod_that_is_none_of_a_trainjob_is_told(change, message):
    with pytest.raises(ValueError, match=message):
        pod_config({**POD, **change})


def test_loopback_addresses_differ():
    addresses = loopback_addresses(8)
    assert len(set(addresses)) == 8
    assert all(address.startswith("127.0.0.1:") for address in addresses)
