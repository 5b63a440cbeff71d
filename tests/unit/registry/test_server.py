"""Requests to the application that `mlflow models serve` runs, here without a port."""

from __future__ import annotations

import asyncio
import base64
import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server

from angiopipe.registry import server
from angiopipe.study import LABELS, VIEW_NAMES
from tests.packaged_model import Packaged, package_model

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
LONGEST_ERROR, LONGEST_ECHO = 3000, 200

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Packaged:
    return package_model(tmp_path_factory.mktemp("octoview"))


@pytest.fixture(scope="module")
def ask(packaged) -> Iterator[Ask]:
    """Posts a body to MLflow's own application, which loads the model as its worker does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(scoring_server._SERVER_MODEL_PATH, str(packaged.folder))
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")  # The application sets it for good.
        for name in ("invocations", "_parse_json_data"):
            patch.setattr(scoring_server, name, getattr(scoring_server, name))
        app = importlib.import_module("mlflow.pyfunc.scoring_server.app").app
        yield lambda body, media=JSON: post(app, body, media)
        del sys.modules["mlflow.pyfunc.scoring_server.app"]


def post(app: Any, body: object, media: str | None) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    headers = [(b"content-type", media.encode())] if media is not None else []
    scope = {
        "type": "http", "method": "POST", "path": "/invocations", "headers": headers,
        "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    answered = b"".join(message.get("body", b"") for message in said)
    return said[0]["status"], json.loads(answered)


@pytest.fixture(scope="module")
def rows(cohort) -> list[dict[str, str]]:
    contents = [path.read_bytes() for path in sorted(Path(cohort.images).iterdir())[:16]]
    coded = [base64.b64encode(content).decode() for content in contents]
    return [dict(zip(VIEW_NAMES, coded[start : start + 8], strict=True)) for start in (0, 8)]


@pytest.fixture(scope="module")
def expected(packaged, rows) -> np.ndarray:
    images = pd.DataFrame(rows).map(base64.b64decode)
    return mlflow.pyfunc.load_model(str(packaged.folder)).predict(images)[list(LABELS)].to_numpy()


def misspelt(row: dict[str, str]) -> dict[str, str]:
    return {"LIA" if name == "LI-A" else name: content for name, content in row.items()}


def parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file)
    return file.getvalue()


FORMS = {
    "dataframe_records": lambda rows: {"dataframe_records": rows},
    "dataframe_split": lambda rows: {
        "dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    },
    "inputs, a list of dicts": lambda rows: {"inputs": rows},
    "inputs, a dict of lists": lambda rows: {"inputs": {n: [row[n] for row in rows] for n in rows[0]}},
    "instances, a list of dicts": lambda rows: {"instances": rows},
    "instances, a dict of lists": lambda rows: {"instances": {n: [row[n] for row in rows] for n in rows[0]}},
    "inputs, a table's dict": lambda rows: {"inputs": pd.DataFrame(rows).to_dict()},
}


def told(ask: Ask, body: object, media: str | None = JSON) -> str:
    """What an error says, which is 400, short and ours."""
    status, answered = ask(body, media)
    assert status == 400
    assert len(json.dumps(answered)) < LONGEST_ERROR
    assert "stack_trace" not in answered
    assert not answered["message"].startswith("Failed to")
    return answered["message"]


def echo(message: str, sent: str) -> int:
    """The longest beginning of a value that an error repeats."""
    return next(length for length in range(len(sent), -1, -1) if sent[:length] in message)


@pytest.mark.parametrize("form", FORMS)
def test_studies_are_answered_alike_in_every_form(ask, rows, expected, form):
    status, answered = ask(FORMS[form](rows))
    assert status == 200
    found = pd.DataFrame(answered["predictions"])[list(LABELS)].astype(float)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_misspelt_view_is_an_error_in_every_form(ask, rows, form):
    message = told(ask, FORMS[form]([misspelt(row) for row in rows]))
    assert message.startswith("expected columns named LI-A, ")
    assert message.endswith("column 'LIA' is no view; did you mean LI-A?")


@pytest.mark.parametrize("form", ["dataframe_records", "inputs", "instances"])
def test_studies_that_lack_a_view_stay_apart(ask, rows, form):
    sent = [{"LI-A": rows[0]["LI-A"]}, {"LI-B": rows[1]["LI-B"]}]
    status, answered = ask({form: sent})
    absent = [set(prediction["missing_views"].split(",")) for prediction in answered["predictions"]]
    assert (status, absent) == (200, [set(VIEW_NAMES) - {"LI-A"}, set(VIEW_NAMES) - {"LI-B"}])
    assert "row 1, column 'LIA' is no view" in told(ask, {form: [rows[0], misspelt(rows[1])]})


@pytest.mark.parametrize("form", ["dataframe_records", "inputs", "instances"])
def test_what_cannot_be_read_as_studies_is_an_error(ask, rows, form):
    image = rows[0]["LI-A"]
    for sent in (
        image,
        None,
        5,
        True,
        [],
        {},
        [image],
        [[image]],
        [rows[0], image],
        [None],
        {"LI-A": [image], "LI-B": image},
    ):
        assert told(ask, {form: sent}).startswith("expected studies, ")


def test_a_split_table_that_is_none_is_an_error(ask, rows):
    names, cells = list(rows[0]), list(rows[0].values())
    for split in (
        {"data": [cells]}, {"columns": names}, {"columns": names[0], "data": [cells]}, cells[0], [cells], None, {},
        {"columns": names, "data": [cells], cells[0]: 1}, {"columns": [[name, "x"] for name in names], "data": [cells]},
        {"columns": names, "data": [cells], "index": cells[0]}, {"columns": names, "data": [cells], "index": [1, 2]},
        {"columns": names, "data": {"LI-A": [cells[0]]}},
    ):  # fmt: skip
        assert told(ask, {"dataframe_split": split}).startswith(
            "expected dataframe_split with columns and data"
        )
    for wrong in (cells[:7], rows[0], cells[0], None):
        message = told(ask, {"dataframe_split": {"columns": names, "data": [cells, wrong, cells, wrong]}})
        assert message.startswith("2 faults in 4 studies")
        assert "\n  row 3, expected a list of 8 cells in data, one for each of columns, found " in message
    twice = {"columns": [*names, "LI-A"], "data": [[*cells, cells[0]]]}
    assert "column LI-A is there 2 times" in told(ask, {"dataframe_split": twice})
    assert ask({"dataframe_split": {"columns": names, "data": []}}) == (200, {"predictions": []})


def test_an_index_names_the_rows(ask, rows):
    split = {"columns": list(rows[0]), "data": [list(rows[0].values()), [None] * 8], "index": ["a", "b"]}
    assert "row b, expected at least one of LI-A" in told(ask, {"dataframe_split": split})


def test_parameters_are_looked_at_before_mlflow_repeats_the_images(ask, rows):
    image = rows[0]["LI-A"]
    for params in (
        {"operating_point": 5}, {"operating_point": float("nan")}, {"operating_point": [image]}, {"operating_point": image},
        {"operating_point": ""}, {"operating_pont": "youden"}, {image: 1}, ["youden"], image, 5,
    ):  # fmt: skip
        message = told(ask, {"inputs": rows, "params": params})
        assert "operating_point" in message or "operating point" in message
        assert echo(message, image) <= LONGEST_ECHO
    for params in (None, {}, {"operating_point": None}):
        status, answered = ask({"inputs": rows[:1], "params": params})
        assert (status, answered["predictions"][0]["operating_point"]) == (200, "youden")


def test_a_key_that_is_not_known_is_an_error(ask, rows):
    form = (
        "expected a JSON object with one of dataframe_records, dataframe_split, inputs, instances, and params"
    )
    for body in (
        {"inputs": rows, "parms": {"operating_point": "sensitivity_90"}}, {"inputs": rows, "instances": rows},
        {"dataframe_record": rows}, {"input": rows, "inputs": rows}, {"messages": rows}, {"params": {}}, {},
        rows, rows[0], rows[0]["LI-A"], 5, None, {rows[0]["LI-A"]: 1},
    ):  # fmt: skip
        message = told(ask, body)
        assert message.startswith(form)
        assert echo(message, rows[0]["LI-A"]) <= LONGEST_ECHO


@pytest.mark.parametrize("where", ["study", "params", "body"])
def test_a_key_that_is_there_twice_is_an_error(ask, rows, where):
    image = json.dumps(rows[0]["LI-A"])
    bodies = {
        "study": f'{{"inputs": [{{"LI-A": {image}, "LI-A": {image}}}]}}',
        "params": f'{{"inputs": [{{"LI-A": {image}}}], "params": {{"operating_point": "a", "operating_point": "b"}}}}',
        "body": f'{{"inputs": [{{"LI-A": {image}}}], "inputs": [{{"LI-A": {image}}}]}}',
    }
    assert told(ask, bodies[where].encode()).startswith("expected each key of an object once, found '")


def test_a_body_that_cannot_be_read_does_not_come_back(ask, rows):
    image = rows[0]["LI-A"]
    whole, table = json.dumps({"inputs": rows}).encode(), parquet(pd.DataFrame(rows))
    for body in (
        whole[:-5], whole[:-100], whole[1:], whole + b"x", image.encode(), b"", b"\x1f\x8b" + whole,
        b'{"inputs": "\xff' + whole,
        b'{"inputs": ' + b"[" * 200_000, b'{"inputs": [{"age": ' + b"9" * 5000 + b"}]}",
    ):  # fmt: skip
        message = told(ask, body)
        assert message.startswith(f"expected JSON, found {len(body)} bytes that are not: ")
        assert echo(message, image) < 10
    for body in (
        table[:-50],
        table[100:],
        whole,
        b"",
        b"PAR1" * 50,
        table[:4] + bytes(len(table) - 8) + table[-4:],
    ):
        message = told(ask, body, PARQUET)
        assert message.startswith(f"expected Parquet, found {len(body)} bytes that pyarrow cannot read: ")
        assert echo(message, image) < 10
    for media in ("text/csv", "text/plain", "", None, "x/" + image):
        message = told(ask, b"LI-A\n\xff" + image.encode(), media)
        assert message.startswith(f"expected the content type {JSON} or {PARQUET}, found ")
        assert echo(message, image) <= LONGEST_ECHO


def test_no_error_repeats_more_of_a_value_than_its_beginning(ask, rows):
    image, row = rows[0]["LI-A"], rows[0]
    for study in (
        {image: 1}, {**row, image: image}, {**row, "LI-A": [image]}, {**row, "LI-A": {"b64": image}},
        {**row, "LI-A": image[:-50]},
        {**row, "LI-A": image + "!"}, {**row, "age": image}, {**row, "age": [image]}, {**row, "mm_per_pixel": image},
        {**row, "mm_per_pixel": {image: image}}, {**row, "population": image}, {**row, "hypertension": {"a": image}},
    ):  # fmt: skip
        for body in ({"inputs": [study] * 50}, {"dataframe_records": [study]}, {"instances": [study]}):
            message = told(ask, body)
            assert max(echo(message, value) for value in row.values()) <= LONGEST_ECHO


def test_many_faulty_studies_and_columns_are_told_in_short(ask):
    message = told(ask, {"inputs": [{"LI-A": f"{number}!"} for number in range(1000)]})
    assert message.startswith(
        "1000 faults in 1000 studies; nothing was scored:\n  row 0 and 9 others, view LI-A: "
    )
    assert message.endswith("\n  faulty rows, counted from 0: 0 to 999")
    assert told(ask, {"inputs": [{f"c{number}": 1 for number in range(500)}]}).endswith(
        "\n  and 480 other columns"
    )


def test_mlflows_command_line_reads_requests_alike(packaged, rows, tmp_path, monkeypatch):
    """`mlflow models predict` in this process, which may go on to other models."""
    monkeypatch.delitem(sys.modules, "mlflow.pyfunc.scoring_server.app", raising=False)
    monkeypatch.setattr(scoring_server, "_parse_json_data", scoring_server._parse_json_data)
    sent, answered = tmp_path / "sent.json", tmp_path / "answered.json"
    sent.write_text(json.dumps({"instances": [{"LI-A": rows[0]["LI-A"]}, {"LI-B": rows[1]["LI-B"]}]}))
    mlflow.models.predict(str(packaged.folder), input_path=sent, output_path=answered, env_manager="local")
    assert len(json.loads(answered.read_text())["predictions"]) == 2
    assert scoring_server._parse_json_data is server._parse_json_data
    other = mlflow.models.Model(signature=mlflow.models.infer_signature(["a question"]))
    asked = scoring_server._parse_json_data('{"messages": ["a question"]}', other, other.get_input_schema())
    assert asked.data == {"messages": ["a question"]}


@pytest.mark.parametrize("name", ["invocations", "_parse_json_data"])
def test_another_mlflow_whose_server_cannot_be_told_is_refused(monkeypatch, ask, name):
    if name == "_parse_json_data":
        monkeypatch.delitem(sys.modules, "mlflow.pyfunc.scoring_server.app")
    monkeypatch.delattr(scoring_server, name)
    with pytest.raises(
        RuntimeError, match=f"have {name}, found none in MLflow {mlflow.__version__}; serve the model with"
    ):
        server.take_requests()
