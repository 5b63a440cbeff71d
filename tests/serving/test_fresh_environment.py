"""The packaged model in an environment that holds its own pinned requirements and nothing else."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from pydicom.data import get_testdata_file

from angiopipe.study import LABELS, VIEW_NAMES
from tests.packaged_model import Packaged, package_model

pytestmark = [pytest.mark.serving, pytest.mark.slow]

STRANGER = """
import pickle, sys
import mlflow
rows = pickle.load(open(sys.argv[2], "rb"))
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(rows)
import angiopipe
pickle.dump((angiopipe.__file__, answers.to_dict("list")), open(sys.argv[3], "wb"))
"""


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Packaged:
    return package_model(tmp_path_factory.mktemp("packaged"))


@pytest.fixture(scope="module")
def python(packaged, tmp_path_factory) -> Path:
    """The Python of an environment made from the package's requirements alone."""
    uv, folder = str(Path(sys.executable).with_name("uv")), tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    requirements = str(packaged.folder / "requirements.txt")
    python = folder / "bin" / "python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", requirements], check=True
    )
    yield python
    shutil.rmtree(folder)  # 2 GB


def test_it_answers_a_stranger_as_it_answers_here(packaged, python, cohort, tmp_path):
    paths = sorted(Path(cohort.images).iterdir())[:8]
    study = {name: path.read_bytes() for name, path in zip(VIEW_NAMES, paths, strict=True)}
    dicom = [get_testdata_file(name, download=False) for name in ("MR_small.dcm", "MR_small_RLE.dcm")]
    jpeg2000 = get_testdata_file("MR_small_jp2klossless.dcm", download=False)
    rows = pd.DataFrame(
        [
            study,
            {name: str(path) for name, path in zip(VIEW_NAMES, paths, strict=True)},
            {"LI-A": Path(dicom[0]).read_bytes(), "LI-B": dicom[1], "RI-A": jpeg2000},
        ],
        columns=list(VIEW_NAMES),
    )
    given, answered = tmp_path / "rows.pickle", tmp_path / "answers.pickle"
    given.write_bytes(pickle.dumps(rows))
    installed = subprocess.run(
        [str(python), "-c", "import angiopipe"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "No module named 'angiopipe'" in installed.stderr
    done = subprocess.run(
        [str(python), "-c", STRANGER, str(packaged.folder), str(given), str(answered)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, answers = pickle.loads(answered.read_bytes())
    assert Path(where).is_relative_to(packaged.folder)
    here = mlflow.pyfunc.load_model(str(packaged.folder)).predict(rows)
    pd.testing.assert_frame_equal(pd.DataFrame(answers), here, rtol=1e-6, check_dtype=False)
    assert here.loc[2, "missing_views"] == "LV-A,LV-B,RI-B,RV-A,RV-B"
    assert here[list(LABELS)].notna().all(axis=None)


def test_the_requirements_are_pinned(packaged):
    lines = (packaged.folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines)
    assert not any("angiopipe" in line for line in lines)
