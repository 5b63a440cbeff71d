"""The gate at work: a version of the registry is served, compared with the champion, and judged."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from angiopipe.clinical import cells, encode
from angiopipe.evaluation.fingerprint import studies_fingerprint
from angiopipe.records.manifest import EvaluationManifest, StudiesManifest
from angiopipe.records.schema import StudyRecord
from angiopipe.registry.answers import TEST, Answers, frozen_test, read_answers
from angiopipe.registry.consumer import Consumer, UnservableModel
from angiopipe.registry.gate import Judgement, judge
from angiopipe.registry.verdict import FOLDER, ScoresFrom, ServingCheck, Verdict, artefact, now, passed
from angiopipe.study import LABELS, VIEW_NAMES
from angiopipe.tables import read_own_table

log = logging.getLogger(__name__)

SERVED_STUDIES = 8
BATCH_STUDIES = 8
TOLERANCE = 1e-3
"""Between a served and an evaluated probability. On one CPU they agree to 1e-6; a GPU's 10-bit
mantissas against a CPU's account for the rest, while another interpolation of a view exceeds it."""

STUDIES_FILE = f"{FOLDER}/studies.csv"
PREDICTIONS_FILE = "predictions.csv"
"""In a version's run: the studies it was made from, by content, and its evaluation's predictions."""


@dataclass(frozen=True)
class Examined:
    """What a gate needs to know.

    Attributes:
      client: of the MLflow server or database at `tracking_uri`.
      model_name, version: the challenger.
      champion: the version to compare with, if any.
      evaluation, studies: the challenger's evaluation, and the cohort whose test split it is of.
      predictions: the content of the evaluation's predictions.csv.
      margin: the recipe's.
      run_id: the pipeline's run.
    """

    client: MlflowClient
    tracking_uri: str
    model_name: str
    version: int
    champion: int | None
    evaluation: EvaluationManifest
    studies: StudiesManifest
    predictions: bytes
    margin: float
    run_id: str


def examine(case: Examined) -> Verdict:
    """Serves the challenger, compares it with the champion, and says whether it may be champion."""
    answers = read_answers(case.predictions)
    stored = _stored_answers(case)
    with ExitStack() as processes:
        challenger = processes.enter_context(_consumer(case, case.version))
        # Loading takes seconds; both load at once.
        rival = (
            processes.enter_context(_consumer(case, case.champion))
            if case.champion is not None and stored is None
            else None
        )
        check = serving_check(challenger, answers, frozen_test(case.studies))
        notes = [f"challenger: package {name}" for name in challenger.strange_packages()]
        scores: ScoresFrom = "none"
        if check.failure:
            judgement = Judgement(outcome="not_servable", reason=check.failure)
        elif case.champion is None:
            judgement = Judgement(outcome="first", reason="there is no champion to compare with")
        else:
            judgement, scores = _compare(case, answers, stored, rival)
            notes += [f"champion: package {name}" for name in rival.strange_packages()] if rival else []
    return _verdict(case, judgement, check, scores, len(answers.indices), notes)


def serving_check(consumer: Consumer, answers: Answers, studies: Iterable[StudyRecord]) -> ServingCheck:
    """Whether the packaged predictor answers what the evaluation found."""
    few = list(itertools.islice(studies, SERVED_STUDIES))
    try:
        served = consumer.answer([_row(study) for study in few])
        example = consumer.answer_example()[0]
    except UnservableModel as error:
        return ServingCheck(studies=0, largest_difference=None, tolerance=TOLERANCE, failure=str(error))
    position = {index: row for row, index in enumerate(answers.indices)}
    strangers = [study.index for study in few if study.index not in position]
    if strangers:
        raise ValueError(
            f"test studies {', '.join(strangers)}: expected each in the evaluation, found none; "
            "give the studies of the version's evaluation"
        )
    evaluated = answers.probabilities[[position[study.index] for study in few]]
    apart = np.abs(served - evaluated)
    largest = float(np.nanmax(apart))
    failure = ""
    if (np.isnan(served) != np.isnan(evaluated)).any():
        failure = f"{consumer.model_uri}: served and evaluated model do not predict the same labels"
    elif largest > TOLERANCE:
        study, label = np.unravel_index(np.nanargmax(apart), apart.shape)
        failure = (
            f"{consumer.model_uri}: study {few[study].index}, {LABELS[label]}: expected the evaluated "
            f"probability {evaluated[study, label]:.6f}, served {served[study, label]:.6f} "
            f"(tolerance {TOLERANCE:g}); register the model again"
        )
    return ServingCheck(
        studies=len(few),
        largest_difference=largest,
        tolerance=TOLERANCE,
        failure=failure,
        example=tuple(None if np.isnan(value) else float(value) for value in example),
    )


def score_test(consumer: Consumer, studies: StudiesManifest, test_fingerprint: str) -> Answers:
    """A registered model's answers for the test studies, read and scored a few at a time.

    Raises:
      UnservableModel: the model cannot be loaded, or failed on a study.
      ValueError: the studies are not those of the fingerprint.
    """
    indices: list[str] = []
    labels, answers, digests, patients = [], [], [], []
    for batch in _batches(frozen_test(studies)):
        answers.append(consumer.answer([_row(study) for study in batch]))
        indices += [study.index for study in batch]
        labels += [study.labels for study in batch]
        digests += [study.sha256 for study in batch]
        patients += [encode(study.clinical) for study in batch if study.clinical]
    found = studies_fingerprint(indices, np.stack(labels), digests, patients)
    if found != test_fingerprint:
        raise ValueError(
            f"{studies.location}: expected the test studies {test_fingerprint} that the challenger was "
            f"evaluated on, found {found}: give the studies of its evaluation"
        )
    return Answers(tuple(indices), np.stack(labels), np.concatenate(answers))


def exposure(case: Examined, mlflow_run_id: str, champion_run: str) -> str:
    """What is known of test studies that the champion was trained or chosen on, in words."""
    present, earlier = _made_from(case.client, mlflow_run_id), _made_from(case.client, champion_run)
    if present is None or earlier is None:
        whose = "challenger's" if present is None else "champion's"
        return f"not known: the {whose} run holds no {STUDIES_FILE}"
    test = present.loc[present["split"] == TEST, "digest"]
    splits = earlier.loc[earlier["digest"].isin(test), "split"].value_counts()
    trained, chosen = splits.get("train", 0), splits.get("validation", 0)
    if trained + chosen == 0:
        return f"none of the {len(test)} test studies was among those the champion was made from"
    # An ensemble's weights and epochs are chosen without the validation split.
    ensemble = case.client.get_run(champion_run).data.params.get("training.ensemble", "0") != "0"
    told = f"{trained} of the {len(test)} test studies trained the champion and {chosen} validated it"
    if ensemble and not trained:
        return f"{told}, but chose no member's weights or epoch: only a search of its recipe would flatter it"
    return f"{told}: its score is flattered, the comparison is biased against the challenger"


def _compare(
    case: Examined, answers: Answers, stored: Answers | None, rival: Consumer | None
) -> tuple[Judgement, ScoresFrom]:
    try:
        champion = score_test(rival, case.studies, case.evaluation.test_fingerprint) if rival else stored
    except UnservableModel as error:
        return _unavailable(case, str(error)), "none"
    assert champion is not None
    found = judge(answers.of(champion.indices), champion, case.margin)
    return found, "scored" if rival else "stored"


def _unavailable(case: Examined, why: str) -> Judgement:
    return Judgement(
        outcome="champion_unavailable",
        reason=f"the champion, version {case.champion}, could not be compared: {why}\n"
        "Repair it and run the gate again, take it back (`angiopipe rollback`), or decide yourself: "
        f"`angiopipe promote --version {case.version} --overrule --why ...`",
    )


def _verdict(
    case: Examined,
    judgement: Judgement,
    check: ServingCheck,
    scores: ScoresFrom,
    studies: int,
    notes: Sequence[str],
) -> Verdict:
    known = None if case.champion is None else _version(case, case.champion)
    biased = ""
    if scores != "none" and known:
        biased = exposure(case, _version(case, case.version).run_id, known.run_id)
    return Verdict(
        reason=judgement.reason,
        passed=passed(judgement),
        model_name=case.model_name,
        challenger=case.version,
        champion=case.champion,
        test_fingerprint=case.evaluation.test_fingerprint,
        test_studies=studies,
        margin=case.margin,
        judgement=judgement,
        serving_check=check,
        champion_scores=scores,
        champion_tested_on=known.tags.get("gate_test_fingerprint") if known else None,
        exposure=biased,
        notes=tuple(notes),
        run_id=case.run_id,
        when=now(),
    )


def _stored_answers(case: Examined) -> Answers | None:
    """The champion's predictions, if its own gate was on this very test set and kept them."""
    champion = None if case.champion is None else _version(case, case.champion)
    if not champion or champion.tags.get("gate_test_fingerprint") != case.evaluation.test_fingerprint:
        return None
    content = artefact(case.client, champion.run_id, PREDICTIONS_FILE)
    return read_answers(content) if content else None


def _made_from(client: MlflowClient, mlflow_run_id: str) -> pd.DataFrame | None:
    content = artefact(client, mlflow_run_id, STUDIES_FILE)
    if not content:
        return None
    table = read_own_table(content, STUDIES_FILE, ("digest", "split"))
    return pd.DataFrame([row.cells for row in table.rows], columns=list(table.columns))


def _version(case: Examined, version: int) -> Any:
    """A version of the registry; None where it was deleted."""
    try:
        return case.client.get_model_version(case.model_name, str(version))
    except MlflowException:
        return None


def _consumer(case: Examined, version: int) -> Consumer:
    return Consumer(f"models:/{case.model_name}/{version}", case.tracking_uri)


def _row(study: StudyRecord) -> dict[str, bytes | int | str | None]:
    views = {name: view or None for name, view in zip(VIEW_NAMES, study.views, strict=True)}
    return {**views, **cells(study.clinical)}


def _batches(studies: Iterator[StudyRecord]) -> Iterator[list[StudyRecord]]:
    while batch := list(itertools.islice(studies, BATCH_STUDIES)):
        yield batch
