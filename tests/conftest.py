"""What several tests share: a small synthetic cohort on disk and the manifests made from it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from angiopipe.cohort.synthetic.synthesize import synthesize
from tests.small_disks import Mount, mounted


@pytest.fixture(autouse=True, scope="session")
def _no_tracking_server() -> None:
    """The tests make their own registries, whatever the shell they are started from names."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def _no_trace_of_a_server(_no_tracking_server: None) -> Iterator[None]:
    """A server's URI left in the environment would be the wish of every test and process after it."""
    yield
    left = os.environ.pop("MLFLOW_TRACKING_URI", None)
    assert left is None, f"MLFLOW_TRACKING_URI={left} was left behind: use point_mlflow_at"


@pytest.fixture(scope="module")
def signals_heard() -> Iterator[None]:
    """Processes that a test starts hear Ctrl-C and a hang-up, which those of a shell's background ignore."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Cohort(NamedTuple):
    """Where a cohort's training set lies."""

    images: str
    labels: str


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """48 easy studies of 96 x 96; not to be written to."""
    out = tmp_path_factory.mktemp("cohort") / "easy"
    synthesize(out, studies=48, size=96, seed=3, difficulty="easy", processes=1, test_studies=4)
    return Cohort(str(out / "train_set" / "images"), str(out / "train_set" / "train.csv"))


@pytest.fixture
def own_cohort(cohort: Cohort, tmp_path: Path) -> Cohort:
    """A copy of the cohort that a test may damage."""
    images = tmp_path / "own" / "images"
    images.mkdir(parents=True)
    for path in Path(cohort.images).iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    labels = tmp_path / "own" / "train.csv"
    labels.write_bytes(Path(cohort.labels).read_bytes())
    return Cohort(str(images), str(labels))


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts file systems in memory, of a size such as "64k", for the test."""
    with ExitStack() as disks:
        yield lambda size="1m", name="disk": disks.enter_context(mounted(tmp_path / name, size))
