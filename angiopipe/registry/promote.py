"""The promote step: a registered version goes through the gate, and becomes champion if it passes."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from angiopipe import defaults, storage
from angiopipe.records.manifest import (
    MANIFEST_NAME,
    EvaluationManifest,
    InventoryManifest,
    Manifest,
    StudiesManifest,
)
from angiopipe.registry.connect import in_words, registry
from angiopipe.registry.register import RegistrationManifest
from angiopipe.step import run_folder, step

# This module is imported to show a command line's help: what is slow to import waits for the work.
if TYPE_CHECKING:
    from angiopipe.registry.aliases import Aliases
    from angiopipe.registry.examine import Examined
    from angiopipe.registry.verdict import Verdict

log = logging.getLogger(__name__)

ROUNDS = 3
"""A challenger that loses to another promotion is compared with the winner, this often at most."""

EVALUATION_TAG, STUDIES_TAG = "evaluation_uri", "studies_uri"
"""Of a version: where a later gate finds what this one used."""


class PromotionManifest(Manifest):
    """What became of a version at the gate.

    Attributes:
      tracking_uri, model_name, version, mlflow_run_id: which version.
      promoted: whether it is champion now.
      outcome: the gate's, one of `gate.Outcome`.
      reason: the same in words.
      champion: the version that is champion now; None if there is none.
      aliases: those that point to the version now.
      overruled: whether a person promoted it against the gate's verdict.
      metrics: those of its evaluation.
      report_uri: of its HTML report.
    """

    kind: Literal["promotion"] = "promotion"
    tracking_uri: str
    model_name: str
    version: int
    mlflow_run_id: str
    promoted: bool
    outcome: str
    reason: str
    champion: int | None
    aliases: tuple[str, ...]
    overruled: bool
    metrics: dict[str, float]
    report_uri: str


@step("promote")
def promote(
    data_root: str,
    run_id: str = "local",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    version: int = 0,
    why: str = "",
    overrule: bool = False,
    registration: str = "",
    evaluation: str = "",
    studies: str = "",
    inventory: str = "",
    out: str = "",
) -> PromotionManifest:
    """Puts a registered version through the gate and makes it champion if it passes.

    The challenger's packaged predictor must answer what its evaluation found; then challenger and
    champion are compared on the same test studies (docs/registry.md).

    Args:
      data_root: where runs keep their data, a path or URI.
      run_id: names the run under the data root.
      tracking_uri: MLflow's server or database; empty is MLFLOW_TRACKING_URI, else an SQLite database
        under the data root.
      model_name: the registered model.
      version: which one; 0 is the one that `registration` names.
      why: in words, for the ledger; needed unless `registration` names the version.
      overrule: make it champion whatever the comparison says. It must be servable all the same.
      registration: URI of the registration's manifest, in a pipeline; it names model and version.
      evaluation: URI of the version's evaluation; unless given, the one its last gate used.
      studies: URI of the studies' manifest whose test split that was; unless given, likewise.
      inventory: URI of the inventory's manifest, to note what the version was made from.
      out: where the promotion's manifest is written.

    Raises:
      ValueError: the version, its evaluation or its studies cannot be had or do not belong together.
      MlflowRefused: MLflow does not let this user in, or move the alias.
    """
    if registration:
        named = RegistrationManifest.read(registration)
        model_name, version = named.model_name, named.version
    if not version or not (why or registration):
        raise ValueError(
            "expected --version and --why: which version shall be champion, and the reason that the ledger keeps"
        )
    client, uri = registry(tracking_uri, data_root)
    lost = f"if MLflow was restored to an earlier point, start register again with the run id {run_id}, then promote"
    with in_words(uri, f"{model_name}, version {version}", lost if registration else ""):
        from angiopipe.registry.aliases import Aliases

        case = _case(client, uri, model_name, version, run_id, evaluation, studies)
        run = client.get_model_version(model_name, str(version)).run_id
        if inventory:
            _note_studies(client, run, InventoryManifest.read(inventory))
        verdict, promoted = _through_the_gate(case, run, Aliases(client, model_name), why, overrule)
        promotion = _promotion(case, run, verdict, promoted)
    for place in filter(None, (storage.join(run_folder(data_root, run_id), "promotion.json"), out)):
        promotion.write(place)
    _tell(promotion)
    return promotion


def _case(
    client: Any, uri: str, model_name: str, version: int, run_id: str, evaluation: str, studies: str
) -> Examined:
    """Finds what the gate needs, and notes at the version where it was found."""
    from angiopipe.registry.examine import Examined

    known = client.get_model_version(model_name, str(version))
    given = {EVALUATION_TAG: evaluation, STUDIES_TAG: studies}
    places = {tag: value or known.tags.get(tag, "") for tag, value in given.items()}
    for tag, place in places.items():
        if not place or not storage.exists(place):
            raise ValueError(
                f"{model_name}, version {version}: expected its {tag.partition('_')[0]} at {place or 'no place'}, "
                f"found nothing: give --{tag.partition('_')[0]}"
            )
    evaluated = EvaluationManifest.read(places[EVALUATION_TAG])
    cohort = StudiesManifest.read(places[STUDIES_TAG])
    _refuse_strangers(known, evaluated, cohort)
    # A pipeline's own copies may be swept away; these lie beside the data.
    client.set_model_version_tag(
        model_name, str(version), EVALUATION_TAG, storage.join(evaluated.location, MANIFEST_NAME)
    )
    client.set_model_version_tag(
        model_name, str(version), STUDIES_TAG, storage.join(cohort.location, MANIFEST_NAME)
    )
    return Examined(
        client=client,
        tracking_uri=uri,
        model_name=model_name,
        version=version,
        champion=None,
        evaluation=evaluated,
        studies=cohort,
        predictions=storage.read_bytes(evaluated.predictions_uri),
        margin=_margin(client, known.run_id),
        run_id=run_id,
    )


def _refuse_strangers(version: Any, evaluated: EvaluationManifest, cohort: StudiesManifest) -> None:
    pairs = (
        ("weights", version.tags.get("weights_sha256", ""), evaluated.weights_sha256),
        ("data", evaluated.data_fingerprint, cohort.data_fingerprint),
    )
    for what, expected, found in pairs:
        if expected != found:
            raise ValueError(
                f"{version.name}, version {version.version}: expected an evaluation and studies of the {what} "
                f"{expected[:16]}, found {found[:16]}: evaluate the model again"
            )


def _margin(client: Any, mlflow_run_id: str) -> float:
    """The recipe's, as it was when the model was trained."""
    from angiopipe.recipe import Gate

    logged = client.get_run(mlflow_run_id).data.params.get("gate.margin")
    return Gate().margin if logged is None else float(logged)


def _through_the_gate(
    case: Examined, mlflow_run_id: str, aliases: Aliases, why: str, overrule: bool
) -> tuple[Verdict, bool]:
    """Judges and, if it passes, moves the alias; anew if another promotion came in between."""
    from dataclasses import replace

    from angiopipe.registry.aliases import CHAMPION, LostMove
    from angiopipe.registry.examine import examine
    from angiopipe.registry.verdict import record

    for attempt in range(ROUNDS):
        seen = aliases.read(CHAMPION)
        champion = seen.version if seen.counted else aliases.current(CHAMPION)
        if champion == case.version:
            return _champion_already(case, aliases), True
        verdict = examine(replace(case, champion=champion))
        record(case.client, verdict, mlflow_run_id)
        if not verdict.passed and not (overrule and not verdict.serving_check.failure):
            aliases.publish(CHAMPION)
            return verdict, False
        words = why or f"passed the gate in run {case.run_id}"
        if not verdict.passed:
            words = f"{words} (overrules the gate: {verdict.judgement.outcome})"
        try:
            aliases.move(CHAMPION, case.version, words, "promote", seen)
            return verdict, True
        except LostMove as lost:
            log.warning("promote: %s", lost)
            if attempt == ROUNDS - 1:
                raise
    raise AssertionError("unreachable")


def _champion_already(case: Examined, aliases: Aliases) -> Verdict:
    """The verdict that made it champion: a step that is started again ends as it did."""
    from angiopipe.registry.aliases import CHAMPION
    from angiopipe.registry.verdict import recorded

    verdict = recorded(case.client, case.model_name, case.version)
    if verdict is None:
        raise ValueError(f"{case.model_name}: version {case.version} is the champion already")
    aliases.publish(CHAMPION)
    return verdict


def _note_studies(client: Any, mlflow_run_id: str, inventory: InventoryManifest) -> None:
    """Keeps, with the run, which studies the model was made from, by content."""
    from angiopipe.registry.answers import studies_by_content
    from angiopipe.registry.examine import STUDIES_FILE

    folder, _, name = STUDIES_FILE.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="angiopipe-") as scratch:
        path = Path(scratch) / name
        studies_by_content(inventory).to_csv(path, index=False)
        client.log_artifact(mlflow_run_id, str(path), folder)


def _promotion(case: Examined, mlflow_run_id: str, verdict: Verdict, promoted: bool) -> PromotionManifest:
    from angiopipe.registry.aliases import CHAMPION
    from angiopipe.registry.patience import shown

    pointing = case.client.get_registered_model(case.model_name).aliases
    champion = pointing.get(CHAMPION)
    return PromotionManifest(
        tracking_uri=shown(case.tracking_uri),
        model_name=case.model_name,
        version=case.version,
        mlflow_run_id=mlflow_run_id,
        promoted=promoted,
        outcome=verdict.judgement.outcome,
        reason=verdict.reason,
        champion=None if champion is None else int(champion),
        aliases=tuple(
            sorted((alias for alias, of in pointing.items() if int(of) == case.version), reverse=True)
        ),
        overruled=promoted and not verdict.passed,
        metrics=case.evaluation.metrics,
        report_uri=case.evaluation.report_uri,
    )


def _tell(promotion: PromotionManifest) -> None:
    log.info(
        "promote: version %d %s: %s",
        promotion.version,
        "is champion" if promotion.promoted else f"is not champion (version {promotion.champion} stays)",
        promotion.reason,
    )
