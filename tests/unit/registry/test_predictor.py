"""What the packaged model answers, and what it refuses."""

from __future__ import annotations

import io
import logging
import zlib
from pathlib import Path

import cv2
import mlflow
import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEGLosslessSV1

from angiopipe import models
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.registry.experimental import ANSWERS, COLUMNS
from angiopipe.study import ANEURYSM, LABELS, LOCATIONS, VIEW_NAMES
from tests.packaged_model import Packaged, package_model
from tests.unit.imaging.encoders import by_opencv, image, in_dicom, lossless_jpeg, written


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Packaged:
    return package_model(tmp_path_factory.mktemp("octoview"))


@pytest.fixture(scope="module")
def model(packaged):
    return mlflow.pyfunc.load_model(str(packaged.folder))


@pytest.fixture
def served(monkeypatch):
    """As `mlflow models serve` sets it for the process that answers."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")


def views(cohort, study: int) -> dict[str, bytes]:
    paths = sorted(Path(cohort.images).iterdir())[8 * study : 8 * study + 8]
    return {name: path.read_bytes() for name, path in zip(VIEW_NAMES, paths, strict=True)}


def png_header(width: int, height: int) -> bytes:
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    coded = [
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


def as_dicom(view: np.ndarray) -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.XRayAngiographicImageStorage, "1.2.3"
    dataset.Rows, dataset.Columns = view.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = view.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_it_answers_as_the_model_it_was_made_of(packaged, model, cohort):
    rows = [views(cohort, study) for study in range(10)]  # more than one batch
    answers = model.predict(pd.DataFrame(rows, index=[f"s{row}" for row in range(10)]))
    network, settings = models.load(packaged.model), packaged.model.recipe.preprocessing
    studies = [preprocess_study(list(row.values()), settings) for row in rows]
    inputs = {"views": np.stack([s[0] for s in studies]), "present": np.stack([s[1] for s in studies])}
    expected = models.probabilities(np.asarray(network(inputs)), packaged.evaluation.calibration)
    np.testing.assert_allclose(answers[list(LABELS)], expected, atol=1e-6)
    assert np.ptp(expected[:, 0]) > 1e-4  # studies differ
    assert list(answers.index) == [f"s{row}" for row in range(10)]
    uncalibrated = models.probabilities(np.asarray(network(inputs)))
    assert np.abs(uncalibrated - expected).max() > 1e-3


def test_the_operating_point_decides(model, cohort):
    rows = pd.DataFrame([views(cohort, 0)])
    default = model.predict(rows)
    assert (default["decision"].item(), default["operating_point"].item()) == (1, "youden")  # threshold 0
    strict = model.predict(rows, params={"operating_point": "sensitivity_90"})  # threshold 1
    assert (strict["decision"].item(), strict["operating_point"].item()) == (0, "sensitivity_90")
    with pytest.raises(ValueError, match="'nice': expected one of youden, sensitivity_90"):
        model.predict(rows, params={"operating_point": "nice"})


@pytest.mark.parametrize("absent", [None, b"", "", float("nan"), pd.NA, "column"])
def test_null_empty_and_no_column_are_an_absent_view(model, cohort, absent):
    row = views(cohort, 0)
    if isinstance(absent, str) and absent == "column":
        del row["RV-B"]
    else:
        row["RV-B"] = absent
    answer = model.predict(pd.DataFrame([row]))
    assert answer["missing_views"].item() == "RV-B"
    whole = model.predict(pd.DataFrame([views(cohort, 0)]))
    assert whole["missing_views"].item() == ""
    assert answer[ANEURYSM].item() != whole[ANEURYSM].item()


def test_formats_and_places_of_the_same_pixels_give_the_same_answer(model, cohort, tmp_path):
    pixels = {name: cv2.imdecode(np.frombuffer(b, np.uint8), 0) for name, b in views(cohort, 0).items()}
    (tmp_path / "view.png").write_bytes(cv2.imencode(".png", pixels["LI-A"])[1].tobytes())
    png = {name: cv2.imencode(".png", view)[1].tobytes() for name, view in pixels.items()}
    tiff = {name: cv2.imencode(".tif", view)[1].tobytes() for name, view in pixels.items()}
    path, uri = str(tmp_path / "view.png"), f"file://{tmp_path}/view.png"
    rows = [
        png,
        tiff,
        {name: as_dicom(view) for name, view in pixels.items()},
        {**png, "LI-A": path},
        {**png, "LI-A": uri},
        {**png, "LI-A": Path(path)},
    ]
    answers = model.predict(pd.DataFrame(rows))[list(LABELS)].to_numpy()
    # A study's place in its batch may change the last bit.
    np.testing.assert_allclose(answers, np.repeat(answers[:1], len(rows), axis=0), atol=1e-6)
    other = model.predict(pd.DataFrame([views(cohort, 1)]))[list(LABELS)].to_numpy()
    assert np.abs(other - answers[0]).max() > 1e-4


def test_every_fault_of_every_row_is_in_one_error(model, cohort, tmp_path):
    whole = views(cohort, 0)
    rows = [views(cohort, 1)] * 9 + [
        {**whole, "LI-A": b"broken", "RV-B": whole["RV-B"][:-500]},
        {**whole, "LI-B": str(tmp_path / "none.jpg")},
        {},
        {**whole, "RI-A": np.zeros((8, 8))},
        {**whole, "RI-B": cv2.imencode(".png", np.full((96, 96), 7, np.uint8))[1].tobytes()},
    ]
    with pytest.raises(ValueError, match="6 faults in 14 studies; nothing was scored:") as caught:
        model.predict(pd.DataFrame(rows, columns=list(VIEW_NAMES), index=[f"s{row}" for row in range(14)]))
    lines = str(caught.value).splitlines()[1:]
    for line, (where, what) in zip(lines, [
        ("row s9, view LI-A: ", "expected a JPEG, PNG, TIFF file, found 6 bytes"),
        ("row s9, view RV-B: ", "expected a whole JPEG, found one without its end"),
        ("row s10, view LI-B: ", f"found FileNotFoundError at {tmp_path}/none.jpg; check the path"),
        ("row s11, ", "expected at least one of LI-A, LI-B, LV-A, LV-B, RI-A, RI-B, RV-A, RV-B, found none"),
        ("row s12, view RI-A: ", "expected an image's bytes, its path or URI, found ndarray"),
        ("row s13, view RI-B: ", "expected an angiogram, found the same grey everywhere"),
    ], strict=True):  # fmt: skip
        assert line.strip().startswith(where)
        assert what in line


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_column_that_is_no_view_is_an_error_in_words(model, cohort, as_dict):
    row = views(cohort, 0)
    row["LIA"] = row.pop("LI-A")
    sent = {name: [value] for name, value in row.items()} if as_dict else pd.DataFrame([row])
    with pytest.raises(ValueError, match="(?s)expected columns named LI-A, .*column 'LIA' is no view"):
        model.predict(sent)
    with pytest.raises(ValueError, match="column 'image' is no view"):
        model.predict(pd.DataFrame({"image": [b"x"]}))


def test_pixels_that_lie_are_refused_as_in_validation(model, cohort):
    """Each is whole to its last marker: nobody but a strict decoder sees that half of it is another picture."""
    picture = cv2.imdecode(np.frombuffer(views(cohort, 0)["LI-A"], np.uint8), cv2.IMREAD_GRAYSCALE)
    rotated = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(picture).save(rotated, "JPEG", exif=exif)
    frame = lossless_jpeg(picture, 8)
    strips = by_opencv(".tiff", picture, cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 8)
    lying = {
        "LI-A": half_lost(by_opencv(".jpg", picture)),
        "LI-B": half_lost(rotated.getvalue()),
        "LV-A": strips[: len(strips) // 3] + bytes(len(strips) // 3) + strips[2 * len(strips) // 3 :],
        "LV-B": in_dicom(half_lost(frame), JPEGLosslessSV1, picture.shape),
        "RI-A": written(image(np.stack([picture] * 4), NumberOfFrames=1)),
    }
    with pytest.raises(ValueError, match="5 faults in 1 studies; nothing was scored") as caught:
        model.predict(pd.DataFrame([{**views(cohort, 0), **lying}]))
    for view in lying:
        assert f"row 0, view {view}: expected " in str(caught.value)


def half_lost(jpeg: bytes) -> bytes:
    """A JPEG that lost a sixth of its scan from the middle, its end marker there."""
    start = (len(jpeg) + jpeg.index(b"\xff\xda")) // 2
    return jpeg[:start] + jpeg[start + (len(jpeg) - start) // 3 :]


@pytest.mark.parametrize("bomb", ["png", "tiff", "dicom"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(model, bomb):
    size = 60_000
    if bomb == "png":
        content = png_header(size, size)
    elif bomb == "tiff":
        file = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(file, "TIFF", compression="group4")
        content = file.getvalue()
    else:
        dataset = pydicom.dcmread(io.BytesIO(as_dicom(np.zeros((8, 8), np.uint8))))
        dataset.Rows = dataset.Columns = size
        file = io.BytesIO()
        dataset.save_as(file)
        content = file.getvalue()
    assert len(content) < 100_000
    with pytest.raises(ValueError, match="row 0, view LI-A: expected (64 to 8192|at most .*) pixels"):
        model.predict(pd.DataFrame([{"LI-A": content}]))


def test_a_server_takes_base64_and_opens_no_paths(model, cohort, served):
    import base64

    row = views(cohort, 0)
    # Line breaks as base64.encodebytes and MLflow's own examples have them.
    sent = {name: base64.encodebytes(value).decode() for name, value in row.items()}
    answer = model.predict(pd.DataFrame([sent]))
    assert answer["missing_views"].item() == ""
    readable = str(next(Path(cohort.images).iterdir()))
    with pytest.raises(
        ValueError, match="row 0, view LI-A: .*not; encode the file, as a server reads no paths"
    ):
        model.predict(pd.DataFrame([{**sent, "LI-A": readable}]))


def test_a_model_without_locations_says_so(tmp_path, cohort, monkeypatch):
    model = mlflow.pyfunc.load_model(str(package_model(tmp_path, "kium_vgg16").folder))
    rows = pd.DataFrame([{**views(cohort, 0), "mm_per_pixel": 1.6}])
    assert model.predict(rows)[[*LOCATIONS, *ANSWERS]].isna().all(axis=None)
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    answer = model.predict(rows).to_dict("records")[0]
    assert answer["BA"] is None  # JSON has no NaN
    assert 0 <= answer[ANEURYSM] <= 1


def test_no_rows_give_no_answers(model):
    answer = model.predict(pd.DataFrame(columns=list(VIEW_NAMES)))
    assert len(answer) == 0
    assert list(answer) == [*LABELS, "decision", "operating_point", "missing_views", *ANSWERS]


def test_the_signature_says_what_goes_in_and_comes_out(model, cohort):
    signature = model.metadata.signature
    columns = [(column.name, column.required) for column in signature.inputs]
    assert columns == [(name, False) for name in (*VIEW_NAMES, *COLUMNS)]
    answer = model.predict(pd.DataFrame([views(cohort, 0)]))
    assert signature.outputs.input_names() == list(answer)
    numpy_types = [column.type.to_numpy() for column in signature.outputs]
    assert [answer[name].dtype for name in (ANEURYSM, "BA", "decision")] == [
        numpy_types[list(answer).index(name)] for name in (ANEURYSM, "BA", "decision")
    ]
    assert signature.params.params[0].default == "youden"


def test_the_input_example_is_a_made_up_study_that_the_model_scores(packaged, model, served):
    example = mlflow.models.Model.load(str(packaged.folder)).load_input_example(str(packaged.folder))
    assert list(example) == list(VIEW_NAMES)
    assert model.predict(example)["missing_views"].item() == ""


def test_the_loaded_models_own_input_example_is_scored_in_process(model):
    answer = model.predict(model.input_example)
    assert answer["missing_views"].item() == ""
    assert 0 <= answer[ANEURYSM].item() <= 1


def test_other_preprocessing_code_than_the_packages_is_told(packaged, tmp_path, caplog, monkeypatch):
    import shutil

    # The step's log keeps its lines to itself once a step has run in this process.
    monkeypatch.setattr(logging.getLogger("angiopipe"), "propagate", True)
    copy = shutil.copytree(packaged.folder, tmp_path / "copy")
    mlflow.pyfunc.load_model(str(copy))
    assert "packaged with" not in caplog.text
    (stated,) = copy.rglob("preprocessing_version")
    stated.write_text("another")
    mlflow.pyfunc.load_model(str(copy))
    assert "expected the preprocessing another that the model was packaged with" in caplog.text
