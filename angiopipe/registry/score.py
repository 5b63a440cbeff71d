"""The score step: the registry's champion, images and a list of studies become a table of answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from angiopipe import defaults, storage
from angiopipe.dataflow.score import PredictionsManifest, make_predictions, plan_scoring, write_tables
from angiopipe.faults import Fault, fault_table
from angiopipe.registry.consumer import Consumer
from angiopipe.registry.pointed import point_mlflow_at, quieten_mlflow
from angiopipe.rules import tracking_uri_of
from angiopipe.step import record_figures, run_folder, step
from angiopipe.study import INDEX, LABELS

if TYPE_CHECKING:
    import pandas as pd

    from angiopipe.dataflow.score import Predictor

log = logging.getLogger(__name__)

INVENTORY_STUDIES = 4096
"""Studies whose images are looked at before the next ones are; of each image only its hash is kept."""


@dataclass(frozen=True)
class RegisteredModel:
    """A version in a registry; calling it loads it.

    Attributes:
      tracking_uri: MLflow's server or database.
      name: the registered model.
      version: counted by MLflow from 1. No alias: it might move between two workers.
      weights_sha256: of the model's weights; empty where the registry does not say.
    """

    tracking_uri: str
    name: str
    version: str
    weights_sha256: str

    def __call__(self) -> Predictor:
        """Loads the model from the registry, with the code it was registered with, in a process of its own."""
        return Consumer(f"models:/{self.name}/{self.version}", self.tracking_uri)

    def clinical_columns(self) -> tuple[str, ...]:
        """The clinical variables that enter the model.

        Raises:
          ValueError: there are none.
        """
        point_mlflow_at(self.tracking_uri)
        from mlflow.models import get_model_info

        from angiopipe.registry.package import TOLD

        known = get_model_info(f"models:/{self.name}/{self.version}").metadata or {}
        if not known.get(TOLD):
            raise ValueError(
                f"models:/{self.name}/{self.version}: expected a model that takes clinical variables, found one "
                "of views alone; score without a clinical CSV, or with a model trained with model.clinical"
            )
        return tuple(known[TOLD])


@step("score")
def score(
    images: str,
    study_list: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    alias: str = defaults.CHAMPION,
    operating_point: str = defaults.OPERATING_POINT,
    allow_missing: int = 0,
    on_fault: Literal["stop", "quarantine"] = "stop",
    quarantine_share: float = defaults.QUARANTINE_SHARE,
    beam_args: Sequence[str] = defaults.BEAM_ARGS,
    clinical: str = "",
    output: str = "",
) -> PredictionsManifest:
    """Scores studies with a registered model and writes `output.csv`.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images, DICOM among them; a path or URI.
      study_list: CSV with an `Index` column, a path or URI; other columns are ignored.
      out: where the predictions' manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      tracking_uri: MLflow's server or database; empty is MLFLOW_TRACKING_URI, or else the
        SQLite database under the data root.
      model_name: the registered model.
      alias: which of its versions.
      operating_point: one of the model's own; makes the column `decision` of the predictions' table.
      allow_missing: how many views of a study may be absent.
      on_fault: "stop", or "quarantine" to go on without the faulty studies.
      quarantine_share: at most this share of the studies may be left out.
      beam_args: Beam's own options: `--beam-args="--runner=PortableRunner --parallelism=2"`.
      clinical: CSV with `Index` and clinical variables, as in `validate`; empty tells the model none.
        Experimental.
      output: where `output.csv` is written, besides the run's folder.

    Raises:
      FaultyStudies: names every fault of every study; nothing was scored.
      ValueError: there is no such model or operating point, or the model takes no clinical variable.
    """
    from angiopipe.cohort.clinical import model_values
    from angiopipe.cohort.fingerprint import data_fingerprint
    from angiopipe.evaluation.locations import LOCATION_THRESHOLD

    model = _registered(tracking_uri_of(tracking_uri, data_root), model_name, alias)
    told = model.clinical_columns() if clinical else ()
    location = storage.join(run_folder(data_root, run_id), "scoring")
    studies, views, patients, quarantined = _studies(
        images, study_list, clinical, location, allow_missing, on_fault, quarantine_share
    )
    known = model_values(patients)
    # As a labelled data set is named, with labels that say nothing.
    unlabelled = studies.assign(**dict.fromkeys(LABELS, ""))
    described = PredictionsManifest(
        fingerprint="",
        data_fingerprint=data_fingerprint(unlabelled, views, known),
        location="",
        shards=(),
        model_name=model.name,
        model_version=model.version,
        weights_sha256=model.weights_sha256,
        operating_point=operating_point,
        quarantined=quarantined,
        output_uri=storage.join(location, "output.csv"),
        predictions_uri=storage.join(location, "predictions.csv"),
    )
    plans = plan_scoring(studies, views, known, told)
    manifest = make_predictions(plans, model, described, data_root, beam_args)
    write_tables(manifest, LOCATION_THRESHOLD)
    if output:
        with storage.staged(manifest.output_uri) as path:
            storage.write_bytes(output, path.read_bytes())
    manifest.write(storage.join(location, "manifest.json"))
    manifest.write(out)
    record_figures(studies_in=len(studies) + quarantined, studies_out=len(studies), quarantined=quarantined)
    log.info(
        "score: %d studies by %s version %s%s, in %s", len(studies), model.name, model.version,
        f", {quarantined} quarantined" if quarantined else "", manifest.output_uri,
    )  # fmt: skip
    return manifest


def _studies(
    images: str,
    study_list: str,
    clinical: str,
    location: str,
    allow_missing: int,
    on_fault: str,
    share: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, int]:
    """The studies that can be scored, their images and clinical data, and how many were left out.

    Raises:
      FaultyStudies: faults must stop the run; the table of faults is in the run's folder.
    """
    from angiopipe.cohort.clinical import of_studies, read_clinical
    from angiopipe.cohort.quarantine import faulty_studies, without_faulty
    from angiopipe.cohort.study_list import read_study_list

    listed, faults = read_study_list(study_list)
    total = len(listed) + len(faulty_studies(faults))
    patients, wrong = read_clinical(clinical, {*listed[INDEX], *(fault.study for fault in faults)})
    views, more = _inventory(images, listed, allow_missing)
    faults += [*wrong, *more]
    storage.write_text(storage.join(location, "faults.csv"), fault_table(faults).to_csv(index=False))
    studies = without_faulty(listed, faults, total, study_list, on_fault, share, undone="nothing was scored")
    left = views[views[INDEX].isin(studies[INDEX])]
    return studies, left, of_studies(patients, studies[INDEX]), total - len(studies)


def _inventory(images: str, studies: pd.DataFrame, allow_missing: int) -> tuple[pd.DataFrame, list[Fault]]:
    """Every image looked at once: where it is, its hash, and what is wrong with it."""
    import pandas as pd

    from angiopipe.cohort.image_files import image_files
    from angiopipe.cohort.inventory import take_inventory

    files = image_files(images, studies)
    tables, faults = [], list[Fault]()
    for part in _parts(files, INVENTORY_STUDIES * 8):
        views, found = take_inventory(part, allow_missing)
        tables.append(views[[INDEX, "view", "uri", "frame", "sha256"]])
        faults += found
    return pd.concat(tables, ignore_index=True), faults


def _parts(files: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, max(1, len(files)), size):
        yield files[start : start + size]


def _registered(tracking_uri: str, name: str, alias: str) -> RegisteredModel:
    """The version an alias points to now.

    Raises:
      ValueError: there is none.
      MlflowRefused: MLflow does not let this user in.
    """
    quieten_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from angiopipe.registry.login import refusal
    from angiopipe.registry.patience import shown

    try:
        version = MlflowClient(tracking_uri).get_model_version_by_alias(name, alias)
    except MlflowException as error:
        denied = refusal(shown(tracking_uri), f"looking for models:/{name}@{alias}", error)
        raise denied or ValueError(
            f"models:/{name}@{alias} in {shown(tracking_uri)}: expected a registered model, found none "
            f"({error.message}); train and register one, or name another"
        ) from None
    return RegisteredModel(tracking_uri, name, str(version.version), version.tags.get("weights_sha256", ""))
