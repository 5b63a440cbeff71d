"""`mlflow models serve` answering real requests."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe.study import ANEURYSM, LABELS, VIEW_NAMES
from tests.packaged_model import Packaged, package_model

pytestmark = [pytest.mark.serving, pytest.mark.slow]

START_SECONDS = 600


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Packaged:
    return package_model(tmp_path_factory.mktemp("packaged"))


@pytest.fixture(scope="module")
def server(packaged) -> Iterator[str]:
    """The URL of a running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(packaged.folder)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/ping", process)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended while it started"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"{url}: no answer within {START_SECONDS} s")


def post(
    server: str, body: bytes | dict[str, Any], content_type: str = "application/json"
) -> tuple[int, Any]:
    """Status and parsed answer; NaN, which JSON does not know, is refused as a strict client would."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{server}/invocations", content, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read(), parse_constant=refuse)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read(), parse_constant=refuse)


def study(cohort, number: int = 0) -> dict[str, bytes]:
    paths = sorted(Path(cohort.images).iterdir())[8 * number : 8 * number + 8]
    return {name: path.read_bytes() for name, path in zip(VIEW_NAMES, paths, strict=True)}


def encoded(row: dict[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in row.items()}


def test_a_good_request_is_answered_as_in_process(server, packaged, cohort):
    rows = [study(cohort, 0), study(cohort, 1)]
    status, answer = post(server, {"dataframe_records": [encoded(row) for row in rows]})
    assert status == 200
    here = mlflow.pyfunc.load_model(str(packaged.folder)).predict(pd.DataFrame(rows))
    there = pd.DataFrame(answer["predictions"])
    assert list(there) == list(here)
    np.testing.assert_allclose(there[list(LABELS)].astype(float), here[list(LABELS)], rtol=1e-5)
    assert there["operating_point"].tolist() == ["youden", "youden"]


def test_the_models_own_example_is_a_request(server, packaged):
    status, answer = post(server, (packaged.folder / "serving_input_example.json").read_bytes())
    assert (status, answer["predictions"][0]["missing_views"]) == (200, "")


def test_the_caller_chooses_the_operating_point(server, cohort):
    body = {"inputs": [encoded(study(cohort))], "params": {"operating_point": "sensitivity_90"}}
    status, answer = post(server, body)
    assert (status, answer["predictions"][0]["operating_point"]) == (200, "sensitivity_90")
    status, answer = post(server, {**body, "params": {"operating_point": "best"}})
    assert status == 400
    assert "operating point 'best': expected one of youden, sensitivity_90" in answer["message"]


@pytest.mark.parametrize("absent", [None, "", "column"])
def test_a_missing_view_is_named(server, cohort, absent):
    row = encoded(study(cohort))
    if absent == "column":
        del row["RV-B"]
        body = {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}
    else:
        body = {"dataframe_records": [encoded(study(cohort, 1)), {**row, "RV-B": absent}]}
    status, answer = post(server, body)
    assert status == 200
    assert answer["predictions"][-1]["missing_views"] == "RV-B"


def test_what_is_known_beside_the_views_may_be_null(server, cohort):
    row = encoded(study(cohort))
    known = {"mm_per_pixel": 1.6, "age": 71, "hypertension": True, "population": "finnish"}
    records = [{**row, **known, "earlier_bleeding": 0}, {**row, **dict.fromkeys(known)}, row]
    status, answer = post(server, {"dataframe_records": records})
    assert status == 200
    assert len({prediction[ANEURYSM] for prediction in answer["predictions"]}) == 1
    assert [prediction["experimental_size_mm"] for prediction in answer["predictions"]][1:] == [None, None]
    status, answer = post(server, {"dataframe_records": [{**row, "mm_per_pixel": -1}]})
    assert (status, "row 0, column mm_per_pixel: " in answer["message"]) == (400, True)


def test_a_corrupt_image_is_named_by_row_and_view(server, cohort):
    rows = [encoded(study(cohort)), encoded({**study(cohort), "LV-A": b"no image", "RI-B": b"\xff\xd8\xff"})]
    status, answer = post(server, {"dataframe_records": rows})
    assert status == 400
    assert "row 1, view LV-A: expected a JPEG, PNG, TIFF file, found 8 bytes" in answer["message"]
    assert "row 1, view RI-B: " in answer["message"]
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.parametrize("form", ["dataframe_records", "inputs", "instances"])
def test_a_wrong_column_is_an_error_in_words(server, cohort, form):
    row = encoded(study(cohort))
    wrong = {"LIA" if name == "LI-A" else name: value for name, value in row.items()}
    for sent in ([wrong], [row, wrong], wrong, {name: [value] for name, value in wrong.items()}):
        status, answer = post(server, {form: sent})
        assert status == 400
        assert "column 'LIA' is no view; did you mean LI-A?" in answer["message"]


def test_studies_that_lack_a_view_stay_apart_in_instances(server, cohort):
    first, second = encoded(study(cohort, 0)), encoded(study(cohort, 1))
    body = {"instances": [{"LI-A": first["LI-A"]}, {"LI-B": second["LI-B"]}]}
    status, answer = post(server, body)
    assert (status, len(answer["predictions"])) == (200, 2)


def test_no_error_brings_the_images_back(server, cohort):
    rows = [encoded(study(cohort, number)) for number in range(4)]
    whole = json.dumps({"inputs": rows}).encode()
    assert len(whole) > 100_000
    for body in (
        whole[:-5],
        b"\xff" + whole,
        {"inputs": rows, "params": {"operating_point": 5}},
        {"inputs": rows, "params": {"operating_point": rows[0]["LI-A"]}},
        {"inputs": rows, "parms": {}},
        {"inputs": [*rows, {"LIA": rows[0]["LI-A"]}]},
        {"inputs": [*rows, rows[0]["LI-A"]]},
        {"inputs": {name: [value, value] for name, value in rows[0].items()} | {"LI-A": [""]}},
        {"instances": [{**row, "age": row["LI-A"]} for row in rows]},
        {"dataframe_split": {"columns": rows[0]["LI-A"], "data": [list(rows[0].values())]}},
        rows[0],
    ):
        status, answer = post(server, body)
        assert (status, len(json.dumps(answer)) < 2000) == (400, True)
        assert not any(value[:201] in answer["message"] for row in rows for value in row.values())


def test_a_body_of_ten_megabytes_is_answered(server, cohort):
    noise = np.random.default_rng(0).integers(0, 256, (1050, 900), np.uint8)
    row = {name: cv2.imencode(".png", noise + view)[1].tobytes() for view, name in enumerate(VIEW_NAMES)}
    body = json.dumps({"dataframe_records": [encoded(row)]}).encode()
    assert 10e6 < len(body) < 11e6
    status, answer = post(server, body)
    assert status == 200
    assert 0 <= answer["predictions"][0][ANEURYSM] <= 1
    status, answer = post(server, {"dataframe_records": [{"LI-A": "A" * 10_000_000}]})
    assert status == 400
    assert "row 0, view LI-A: expected a JPEG, PNG, TIFF file, found 7500000 bytes" in answer["message"]
    assert len(answer["message"]) < 2000


def test_a_server_opens_no_path_whatever_the_content_type(server, cohort):
    readable = str(next(Path(cohort.images).iterdir()))
    table = io.BytesIO()
    pd.DataFrame([{"LI-A": readable}]).to_parquet(table)
    for body, kind in (
        (table.getvalue(), "application/vnd.apache.parquet"),
        ({"inputs": [{"LI-A": readable}]}, "application/json"),
    ):
        status, answer = post(server, body, kind)
        assert status == 400
        assert "as a server reads no paths" in answer["message"], kind
    status, answer = post(server, f"LI-A\n{readable}\n".encode(), "text/csv")
    assert status == 400
    assert "expected the content type application/json" in answer["message"]


def test_parquet_carries_the_bytes_themselves(server, cohort):
    table = io.BytesIO()
    pd.DataFrame([study(cohort)]).to_parquet(table)
    status, answer = post(server, table.getvalue(), "application/vnd.apache.parquet")
    assert (status, answer["predictions"][0]["missing_views"]) == (200, "")
