"""What a caller sends, in whatever form, as a table: a study a row, a view a column. Nothing is dropped unsaid.

MLflow hands on what it was given, since the signature says that the model checks it (`package.signature`).
"""

from __future__ import annotations

import difflib
import inspect
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from angiopipe import defaults
from angiopipe.clinical import shown
from angiopipe.registry.experimental import columns
from angiopipe.registry.request import MOST_LINES, FaultyRequest, cut, row_of, runs
from angiopipe.study import VIEW_NAMES

OPERATING_POINT = "operating_point"

LIKE_A_VIEW, LIKE_ANOTHER = 0.65, 0.8
"""How alike a wrong name must be to pass for a misspelt one, by difflib's ratio.

One of a view's three letters may be another.
"""

_TEXT_OR_OBJECTS = "OSTU"


def read_table(sent: object, told: Sequence[str] = ()) -> pd.DataFrame:
    """The studies that were sent.

    Args:
      sent: a DataFrame; a list of dicts, one a study; a dict of lists, one a column; a dict or a Series, one
        study; a Series named after a view, a column; or a structured array.
      told: the clinical variables that enter the model.

    Returns:
      One row a study, with columns that the model knows, each once.

    Raises:
      FaultyRequest: it cannot be read as studies, or a column is none of ours: a misspelt view must not
        pass for an absent one.
    """
    known = (*VIEW_NAMES, *columns(told))
    try:
        table = _table(sent, known)
        if table.shape == (0, 0):
            raise ValueError(f"an empty {kind(sent)}")
    except (TypeError, ValueError) as error:
        raise FaultyRequest(
            "expected studies, as a DataFrame, a list of dicts or a dict of lists with columns named "
            f"{', '.join(VIEW_NAMES)}; found {cut(str(error))}; nothing was scored"
        ) from None
    _refuse_unknown(table, known)
    return table


def _table(sent: Any, known: Sequence[str]) -> pd.DataFrame:
    """What was sent as a table, its cells as they came; a ValueError says what else was found."""
    match sent:
        case pd.DataFrame():
            return sent
        case pd.Series():
            return _of_series(sent, known)
        case Mapping():
            return _of_columns(sent)
        case np.ndarray() | np.void() if sent.dtype.names:
            return pd.DataFrame(np.atleast_1d(sent))
        case list() | tuple() | np.ndarray():
            return _of_rows(sent)
    raise ValueError(kind(sent))


def _of_series(series: pd.Series, known: Sequence[str]) -> pd.DataFrame:
    labels = [label for label in series.index if isinstance(label, str)]
    is_study = any(label in known for label in labels)
    if isinstance(series.name, str) and (series.name in known or not is_study):
        return series.to_frame()
    if not labels:
        raise ValueError("a Series that names no view")
    return series.to_frame().T


def _of_columns(sent: Mapping[Any, Any]) -> pd.DataFrame:
    lists = {name: value for name, value in sent.items() if _is_column(name, value)}
    if not lists:
        return pd.DataFrame([dict(sent)] if sent else [], dtype=object)
    # pandas would give a single image to every study.
    single = [name for name, value in sent.items() if name not in lists and value is not None]
    if single:
        raise ValueError(f"a dict of lists, but with {kind(sent[single[0]])} in {shown(single[0])}")
    lengths = {
        name: len(value) for name, value in lists.items() if not isinstance(value, Mapping | pd.Series)
    }
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{shown(name)} {length}" for name, length in lengths.items())
        raise ValueError(f"lists of different lengths: {found}")
    return pd.DataFrame(dict(sent), dtype=object)


def _is_column(name: object, value: object) -> bool:
    """Whether a value of a dict is a list of cells; numbers in a view are one picture's, so one cell."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and (name not in VIEW_NAMES or value.dtype.kind in _TEXT_OR_OBJECTS)
    if isinstance(value, list) and value and isinstance(value[0], int):
        return name not in VIEW_NAMES
    return isinstance(value, list | tuple | Mapping | pd.Series | pd.Index | pd.api.extensions.ExtensionArray)


def _of_rows(sent: Any) -> pd.DataFrame:
    rows = np.atleast_1d(sent) if isinstance(sent, np.ndarray) else sent
    wrong = [place for place, row in enumerate(rows) if not isinstance(row, Mapping)]
    if wrong:
        found = kind(rows[wrong[0]])
        raise ValueError(
            f"a {kind(sent)} with {found} where a dict was expected, at {runs(wrong)} counted from 0"
        )
    return pd.DataFrame([dict(row) for row in rows], dtype=object)


def _refuse_unknown(table: pd.DataFrame, known: Sequence[str]) -> None:
    """Raises FaultyRequest if a column is not known or there twice, or a known one is the index."""
    indices = [name for name in table.index.names if isinstance(name, str)]
    places: dict[Any, list[int]] = {}
    for place, name in enumerate(table.columns):
        places.setdefault(name, []).append(place)
    wrong = []
    for name, at in places.items():
        if not (isinstance(name, str) and name in known):
            where = np.flatnonzero(table.iloc[:, at[0]].notna())
            row = row_of(where, table.index) if 0 < len(where) < len(table) else ""
            wrong.append(f"{row}column {shown(name)} is no view{_remedy(name, known)}")
        elif len(at) > 1:
            wrong.append(f"column {name} is there {len(at)} times; keep one")
    wrong += [f"column {name} is the index; reset_index() puts it back" for name in indices if name in known]
    if wrong:
        more = [f"and {len(wrong) - MOST_LINES} other columns"] if len(wrong) > MOST_LINES else []
        raise FaultyRequest(
            f"expected columns named {', '.join(VIEW_NAMES)}; nothing was scored:",
            wrong, [*wrong[:MOST_LINES], *more],
        )  # fmt: skip


def _remedy(name: object, known: Sequence[str]) -> str:
    views, others = ({_plain(one): one for one in names} for names in (VIEW_NAMES, known[len(VIEW_NAMES) :]))
    wanted = _plain(str(name)[: max(map(len, known)) * 2])
    near = [wanted] if wanted in views else difflib.get_close_matches(wanted, views, len(views), LIKE_A_VIEW)
    near = near or difflib.get_close_matches(wanted, others, 1, LIKE_ANOTHER)
    if near:
        return f"; did you mean {' or '.join(sorted({**views, **others}[one] for one in near))}?"
    return f", and none of {', '.join(others.values())}; rename or remove it"


def _plain(name: str) -> str:
    """A name without case, blanks, and dashes of whatever kind."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name)).casefold()


def read_operating_point(params: object) -> str:
    """The operating point that a caller's parameters name, else the default.

    Raises:
      FaultyRequest: there are other parameters, or it is no name.
    """
    if not isinstance(params, Mapping | None):
        raise FaultyRequest(
            f"expected params as a dict with {OPERATING_POINT}, found {kind(params)}; nothing was scored"
        )
    unknown = [shown(name) for name in params or {} if name != OPERATING_POINT]
    if unknown:
        raise FaultyRequest(
            f"expected no parameter but {OPERATING_POINT}, found {cut(', '.join(unknown))}; nothing was scored"
        )
    name = (params or {}).get(OPERATING_POINT)
    if not isinstance(name, str | None):
        raise FaultyRequest(f"expected {OPERATING_POINT} as a name, found {shown(name)}; nothing was scored")
    return defaults.OPERATING_POINT if name is None else name


def sent_params(model: object, params: Mapping[str, Any] | None) -> Any:
    """The parameters as the caller of a model gave them.

    MLflow takes out what the signature does not name, and tells it to a log alone. What the caller gave is
    still at hand in `PyFuncModel.predict`, which called us.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not PyFuncModel.predict.__code__:
        frame = frame.f_back
    if frame and getattr(frame.f_locals["self"]._model_impl, "python_model", None) is model:
        return frame.f_locals["params"]
    return params


def kind(value: object) -> str:
    """The type of what was sent, for an error; of another library's, with its name."""
    if value is None:
        return "nothing"
    found = type(value)
    library = found.__module__.partition(".")[0]
    return found.__name__ if library in ("builtins", "pandas") else f"{library}.{found.__name__}"
