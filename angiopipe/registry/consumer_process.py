"""The process behind `consumer`: imports MLflow and what the model brings along, and nothing of ours.

Reads pickled questions from its parent on standard input and writes pickled triples: answer, error, and
the faults that the error names one by one.
"""

import base64
import os
import pickle
import sys
from typing import Any


def main(model_uri: str) -> None:
    """Loads the model and answers until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever a library prints must not get between the answers.
    import mlflow

    try:
        model = mlflow.pyfunc.load_model(model_uri)
        failure = ""
    except Exception as error:
        failure = f"could not be loaded: {type(error).__name__}: {error}"
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = None if failure else ask(model, question)
            pickle.dump((answer, failure, []), answers)
        except Exception as error:
            told = f"failed on studies: {type(error).__name__}: {error}"
            pickle.dump((None, told, [str(fault) for fault in getattr(error, "faults", ())]), answers)
        answers.flush()


def ask(model: Any, question: dict[str, Any]) -> Any:
    """The whole answer to a table, or the probabilities of the labels asked for, a list a study."""
    import pandas as pd

    if "table" in question:
        return model.predict(question["table"], params=question["params"])
    if question["rows"] is None:
        example = model.input_example
        rows = example.map(lambda value: base64.b64decode(value) if isinstance(value, str) else value)
    else:
        # A model registered before there were clinical variables, or without, refuses their columns.
        rows = pd.DataFrame(question["rows"])
        schema = model.metadata.get_input_schema()
        if schema:
            rows = rows[
                [name for name in rows if name not in question["optional"] or name in schema.input_names()]
            ]
    return model.predict(rows)[question["labels"]].to_numpy(float).tolist()


if __name__ == "__main__":
    main(sys.argv[1])
