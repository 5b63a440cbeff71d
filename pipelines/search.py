"""From raw angiograms and labels to a registered model of the best values found, and through the gate."""

from kfp import dsl

from angiopipe import defaults
from angiopipe.recipe import DEFAULT_RECIPE
from components.evaluate import evaluate
from components.promote import promote
from components.register import register
from components.search import search as search_step
from components.train import train
from pipelines.examples import make_examples


@dsl.pipeline(
    name="search",
    description="Searches a recipe's hyper-parameters, trains the best, lets it through the gate.",
)
def search(
    images: str,
    labels: str,
    data_root: str,
    recipe: str = DEFAULT_RECIPE,
    overrides: list[str] = [],  # noqa: B006 (Kubeflow reads it as the parameter's default)
    space: list[str] = [],  # noqa: B006
    trials: int = defaults.SEARCH_TRIALS,
    startup_trials: int = defaults.SEARCH_STARTUP_TRIALS,
    database: str = "",
    seed: int = 0,
    validation_share: float = defaults.VALIDATION_SHARE,
    test_share: float = defaults.TEST_SHARE,
    clinical: str = "",
    beam_args: list[str] = list(defaults.BEAM_ARGS),  # noqa: B006
    workers: int = 1,
    cluster_settings: str = "",
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    run_id: str = "",
) -> dsl.Artifact:
    """Searches a recipe's fields on the validation studies, trains with the best, and goes through the gate.

    Args:
      images: as for the training pipeline, which has parameters for faulty studies too.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      data_root: where the run keeps its data, a path or URI.
      recipe: kium_vgg16, coding_vessels or octoview.
      overrides: recipe fields to change in all trials.
      space: what to search, such as `training.learning_rate=log(1e-4,1e-2)`; see docs/training.md.
      trials: how many settings to try.
      startup_trials: so many of them at random and to their end.
      database: URL of Optuna's database; empty is an SQLite file under the data root.
      seed: of the splits, the draws, the initial weights and the shuffling.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test, which the search does not read.
      clinical: clinical CSV as for the training pipeline; empty has none. Experimental.
      beam_args: Beam's own options.
      workers: processes on the training step's machine that share each batch of the final training.
      cluster_settings: URI of a YAML file that says how to do the final training on Kubernetes.
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
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        folds=0,
        fold=0,
        allow_missing=0,
        quarantine_share=defaults.QUARANTINE_SHARE,
        previous_statistics="",
        drift_threshold=0.0,
        clinical=clinical,
        workers=workers,
        tensorboard="off",
        cluster_settings=cluster_settings,
        tracking_uri=tracking_uri,
        model_name=model_name,
        space=space,
        trials=trials,
        startup_trials=startup_trials,
        database=database,
    )
    best = search_step(
        examples=made.examples,
        recipe=recipe,
        overrides=overrides,
        space=space,
        trials=trials,
        startup_trials=startup_trials,
        seed=seed,
        database=database,
        **run,
    ).outputs["Output"]
    model = train(
        examples=made.examples,
        fingerprint=made.fingerprint,
        recipe=recipe,
        overrides=best,
        seed=seed,
        workers=workers,
        tensorboard="off",
        start_deadline=defaults.START_DEADLINE,
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
