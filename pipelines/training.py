"""From raw angiograms and labels to a registered model, and through the gate."""

from kfp import dsl

from angiopipe import defaults
from angiopipe.recipe import DEFAULT_RECIPE
from components.evaluate import evaluate
from components.promote import promote
from components.register import register
from components.train import train
from pipelines.examples import make_examples


@dsl.pipeline(name="training", description="Angiograms and labels in, a registered aneurysm model out.")
def training(
    images: str,
    labels: str,
    data_root: str,
    recipe: str = DEFAULT_RECIPE,
    overrides: list[str] = [],  # noqa: B006 (Kubeflow reads it as the parameter's default)
    seed: int = 0,
    validation_share: float = defaults.VALIDATION_SHARE,
    test_share: float = defaults.TEST_SHARE,
    folds: int = 0,
    fold: int = 0,
    allow_missing: int = 0,
    on_fault: str = "stop",
    quarantine_share: float = defaults.QUARANTINE_SHARE,
    previous_statistics: str = "",
    drift_threshold: float = 0.0,
    clinical: str = "",
    pseudonymise: bool = False,
    beam_args: list[str] = list(defaults.BEAM_ARGS),  # noqa: B006
    workers: int = 1,
    tensorboard: str = "off",
    start_deadline: float = defaults.START_DEADLINE,
    cluster_settings: str = "",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    run_id: str = "",
) -> dsl.Artifact:
    """Trains a recipe on a cohort, registers the model, and makes it champion if it passes the gate.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images, DICOM among them; a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      data_root: where the run keeps its data, a path or URI.
      recipe: kium_vgg16, coding_vessels or octoview.
      overrides: recipe fields to change, such as `training.epochs=3`.
      seed: of the splits, the initial weights and the shuffling.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test.
      folds: cut the studies that are not for the test into this many folds; 0 cuts none.
      fold: which of the folds is for validation, counted from 0.
      allow_missing: how many views of a study may be absent.
      on_fault: "stop", or "quarantine" to go on without the faulty studies.
      quarantine_share: at most this share of the studies may be left out.
      previous_statistics: the statistics of an earlier run, to compare with.
      drift_threshold: stop where a view's population stability index exceeds it (0.25 is
        customary), a prevalence shifted or new kinds of images came; 0 never stops.
      clinical: CSV with `Index` and any of age, sex, hypertension, smoking, family_history,
        earlier_bleeding and population, a path or URI; empty has none. Experimental.
      pseudonymise: replace each Index by a keyed pseudonym.
      beam_args: Beam's own options.
      workers: processes on the training step's machine that share each batch.
      tensorboard: "off", "scalars" or "profile": what training writes for TensorBoard.
      start_deadline: seconds that workers wait for one another to start.
      cluster_settings: URI of a YAML file that says how to train as a TrainJob on Kubernetes, see
        docs/cluster-training.md; empty trains in the step itself.
      tracking_uri: MLflow's server or database; empty is an SQLite database under the data root.
      model_name: the registered model to add a version to.
      run_id: names the run under the data root, to go on with the work of an earlier one (`resume` gives it); empty is
        Kubeflow's own id.
    """
    run = {"data_root": data_root, "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "given_run_id": run_id}
    made = make_examples(
        run,
        images=images,
        labels=labels,
        recipe=recipe,
        overrides=overrides,
        beam_args=beam_args,
        on_fault=on_fault,
        pseudonymise=pseudonymise,
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        folds=folds,
        fold=fold,
        allow_missing=allow_missing,
        quarantine_share=quarantine_share,
        previous_statistics=previous_statistics,
        drift_threshold=drift_threshold,
        clinical=clinical,
        workers=workers,
        tensorboard=tensorboard,
        cluster_settings=cluster_settings,
        tracking_uri=tracking_uri,
        model_name=model_name,
    )
    model = train(
        examples=made.examples,
        fingerprint=made.fingerprint,
        recipe=recipe,
        overrides=overrides,
        seed=seed,
        workers=workers,
        tensorboard=tensorboard,
        start_deadline=start_deadline,
        cluster_settings=cluster_settings,
        **run,
    ).outputs["model"]
    evaluation = evaluate(examples=made.examples, model=model, **run).outputs["evaluation"]
    registered = register(
        model=model, evaluation=evaluation, tracking_uri=tracking_uri, model_name=model_name, **run
    )
    return promote(
        registration=registered.outputs["registration"],
        evaluation=evaluation,
        studies=made.studies,
        inventory=made.inventory,
        tracking_uri=tracking_uri,
        **run,
    ).outputs["promotion"]
