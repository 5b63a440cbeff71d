"""For schedules: nothing where nothing changed, else the training pipeline; the outcome is told in any case."""

from kfp import dsl

from angiopipe import defaults
from angiopipe.recipe import DEFAULT_RECIPE
from components.news import news
from components.outcome import outcome
from pipelines.training import training

UNCHANGED = "unchanged"


@dsl.pipeline(
    name="retraining",
    description="A new champion where the data or the recipe has changed and the gate lets it.",
)
def retraining(
    images: str,
    labels: str,
    data_root: str,
    recipe: str = DEFAULT_RECIPE,
    overrides: list[str] = [],  # noqa: B006 (Kubeflow reads it as the parameter's default)
    seed: int = 0,
    validation_share: float = defaults.VALIDATION_SHARE,
    test_share: float = defaults.TEST_SHARE,
    allow_missing: int = 0,
    on_fault: str = "stop",
    quarantine_share: float = defaults.QUARANTINE_SHARE,
    drift_threshold: float = defaults.DRIFT_THRESHOLD,
    clinical: str = "",
    pseudonymise: bool = False,
    beam_args: list[str] = list(defaults.BEAM_ARGS),  # noqa: B006
    workers: int = 1,
    start_deadline: float = defaults.START_DEADLINE,
    cluster_settings: str = "",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    webhook: str = "",
    run_id: str = "",
) -> None:
    """Trains, evaluates and gates anew where the data or the recipe has changed, and tells how it ended.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images, DICOM among them; a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      data_root: where runs keep their data, a path or URI.
      recipe: kium_vgg16, coding_vessels or octoview.
      overrides: recipe fields to change, such as `training.epochs=3`.
      seed: of the splits, the initial weights and the shuffling.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test.
      allow_missing: how many views of a study may be absent.
      on_fault: "stop", or "quarantine" to go on without the faulty studies.
      quarantine_share: at most this share of the studies may be left out.
      drift_threshold: stop where the data has shifted from the champion's: a view's population
        stability index above it, a prevalence, new kinds of images; 0 never stops.
      clinical: CSV with `Index` and any of age, sex, hypertension, smoking, family_history,
        earlier_bleeding and population, a path or URI; empty has none. Experimental.
      pseudonymise: replace each Index by a keyed pseudonym.
      beam_args: Beam's own options.
      workers: processes on the training step's machine that share each batch.
      start_deadline: seconds that workers wait for one another to start.
      cluster_settings: URI of a YAML file that says how to train as a TrainJob on Kubernetes, see
        docs/cluster-training.md; empty trains in the step itself.
      tracking_uri: MLflow's server or database; empty is an SQLite database under the data root.
      model_name: the registered model to add a version to.
      webhook: URL that is sent the outcome as JSON; empty is the environment variable
        ANGIOPIPE_WEBHOOK, else a file in the run's folder is all.
      run_id: names the run under the data root, to go on with the work of an earlier one (`resume` gives it); empty is
        Kubeflow's own id.
    """
    own = {"run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "given_run_id": run_id}
    told = outcome(data_root=data_root, webhook=webhook, **own)
    same = {
        "images": images,
        "labels": labels,
        "clinical": clinical,
        "data_root": data_root,
        "recipe": recipe,
        "overrides": overrides,
        "tracking_uri": tracking_uri,
        "model_name": model_name,
    }
    with dsl.ExitHandler(told, name="retrain"):
        found = news(unchanged=UNCHANGED, **own, **same).outputs["Output"]
        with dsl.If(found != UNCHANGED, name="changed"):
            training.pipeline_func(
                **same,
                seed=seed,
                validation_share=validation_share,
                test_share=test_share,
                allow_missing=allow_missing,
                on_fault=on_fault,
                quarantine_share=quarantine_share,
                previous_statistics=found,
                drift_threshold=drift_threshold,
                pseudonymise=pseudonymise,
                beam_args=beam_args,
                workers=workers,
                start_deadline=start_deadline,
                cluster_settings=cluster_settings,
                run_id=run_id,
            )
