"""The requests that `mlflow models serve` and `mlflow models predict` take, read here instead of by MLflow.

MLflow's own reading lines up the values of each column of `instances`, so that two studies that each lack
a view can become one, takes the second of two keys of one name, leaves out keys it does not know, and
sends what it could not read back in its error, images and all.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import pandas as pd
from mlflow.pyfunc import PyFuncModel, scoring_server

from angiopipe.clinical import shown
from angiopipe.registry.request import FaultyRequest, cut, is_served, refuse_rows
from angiopipe.registry.table import kind, read_operating_point
from angiopipe.study import VIEW_NAMES

JSON, PARQUET = scoring_server.CONTENT_TYPE_JSON, scoring_server.CONTENT_TYPE_PARQUET
FORMS = ("dataframe_records", "dataframe_split", "inputs", "instances")
PARAMS = "params"

_MLFLOWS: Any = getattr(scoring_server, "_parse_json_data", None)


def take_requests() -> None:
    """Has MLflow read requests here, if this process serves; called while it loads the model.

    Raises:
      RuntimeError: its MLflow reads requests at another place than that of the package's requirements.
    """
    if f"{scoring_server.__name__}.app" in sys.modules:
        _replace("invocations", answer)
    elif is_served():
        _replace("_parse_json_data", _parse_json_data)


def _replace(name: str, ours: Callable[..., Any]) -> None:
    if not hasattr(scoring_server, name):
        raise RuntimeError(
            f"expected MLflow's server to have {name}, found none in MLflow {scoring_server.VERSION}; "
            "serve the model with the versions in its requirements.txt"
        )
    setattr(scoring_server, name, ours)


def answer(
    data: bytes, content_type: str | None, model: PyFuncModel, input_schema: object
) -> scoring_server.InvocationsResponse:
    """Answers a request, in the place of `scoring_server.invocations`.

    Args:
      data: the body.
      content_type: as the client says.
      model: the served model.
      input_schema: not used; MLflow gives it.

    Raises:
      FaultyRequest: something is wrong with it; MLflow's server answers with status 400 and the error's words.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    if media == JSON:
        sent, params = read_json(data)
    elif media == PARQUET:
        sent, params = _read_parquet(data), None
    else:
        raise FaultyRequest(
            f"expected the content type {JSON} or {PARQUET}, found {shown(content_type)}; send one of these"
        )
    text = io.StringIO()
    scoring_server.predictions_to_json(model.predict(sent, params=params), text)
    return scoring_server.InvocationsResponse(text.getvalue(), 200, JSON)


def _parse_json_data(data: str, metadata: Any, input_schema: Any) -> scoring_server.ParsedJsonInput:
    """In the place of MLflow's, for `mlflow models predict`, whose process may go on to other models."""
    if not input_schema or input_schema.input_names()[: len(VIEW_NAMES)] != list(VIEW_NAMES):
        return _MLFLOWS(data, metadata, input_schema)
    return scoring_server.ParsedJsonInput(*read_json(data), is_unified_llm_input=False)


def read_json(data: bytes | str) -> tuple[Any, dict[str, Any] | None]:
    """What a body of JSON holds: the studies as they were sent, and the parameters.

    Raises:
      FaultyRequest: it is no JSON, a key is there twice, or it is none of MLflow's forms.
    """
    try:
        body = json.loads(data, object_pairs_hook=_object)
    except FaultyRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise FaultyRequest(
            f"expected JSON, found {len(data)} bytes that are not: {cut(str(error))}; encode it with a JSON library"
        ) from None
    forms = [name for name in FORMS if name in body] if isinstance(body, dict) else []
    if len(forms) != 1 or set(body) - {*forms, PARAMS}:
        found = ", ".join(map(shown, body)) if isinstance(body, dict) else kind(body)
        raise FaultyRequest(
            f"expected a JSON object with one of {', '.join(FORMS)}, and {PARAMS} if need be; found {cut(found)}; "
            "nothing was scored"
        )
    read_operating_point(body.get(PARAMS))  # MLflow's own error would repeat the images.
    sent = body[forms[0]]
    return _split(sent) if forms == ["dataframe_split"] else sent, body.get(PARAMS)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise FaultyRequest(
            f"expected each key of an object once, found {shown(twice)} {names.count(twice)} times; nothing was scored"
        )
    return found


def _split(sent: Any) -> pd.DataFrame:
    """The table of `dataframe_split`; pandas by itself picks what it knows out of rows that are dicts."""
    names, rows, index = _parts(sent)
    faults = []
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = len(row) if isinstance(row, list) else kind(row)
            faults.append(
                (
                    place,
                    f"expected a list of {len(names)} cells in data, one for each of columns, found {found}",
                )
            )
    refuse_rows(faults, pd.RangeIndex(len(rows)))
    return pd.DataFrame(rows, index=index, columns=names, dtype=object)


def _parts(sent: Any) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Columns, data and index of `dataframe_split`."""
    parts = sent if isinstance(sent, dict) else {}
    names, rows, index = (parts.get(name) for name in ("columns", "data", "index"))
    if (
        isinstance(rows, list)
        and _are_labels(names)
        and not set(parts) - {"columns", "data", "index"}
        and (index is None or (_are_labels(index) and len(index) == len(rows)))
    ):
        return names, rows, index
    found = ", ".join(f"{shown(name)} {kind(part)}" for name, part in parts.items()) or kind(sent)
    raise FaultyRequest(
        "expected dataframe_split with columns and data, a list of names and a list of rows, and an index, if any, of a "
        f"name for each row; found {cut(found)}; nothing was scored"
    )


def _are_labels(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and not any(isinstance(label, list | dict) for label in value)


def _read_parquet(data: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise FaultyRequest(
            f"expected Parquet, found {len(data)} bytes that pyarrow cannot read: {cut(str(error))}; send the table again"
        ) from None
