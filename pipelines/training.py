"""From raw angiograms and labels to a registered model."""

from kfp import dsl

from angiopipe import defaults
from angiopipe.recipe import DEFAULT_RECIPE
from components.evaluate import evaluate
from components.ingest import ingest
from components.preprocess import preprocess
from components.register import register
from components.train import train
from components.validate import validate


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
    beam_args: list[str] = list(defaults.BEAM_ARGS),  # noqa: B006
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
) -> dsl.Artifact:
    """Trains a recipe on a cohort and registers the model.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      data_root: where the run keeps its data, a path or URI.
      recipe: kium_vgg16, coding_vessels or octoview.
      overrides: recipe fields to change, such as `training.epochs=3`.
      seed: of the splits, the initial weights and the shuffling.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test.
      beam_args: Beam's own options.
      tracking_uri: MLflow's server or database; empty is an SQLite database under the data root.
      model_name: the registered model to add a version to.
    """
    run = {"data_root": data_root, "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    inventory = validate(images=images, labels=labels, **run).outputs["inventory"]
    studies = ingest(
        inventory=inventory,
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        beam_args=beam_args,
        **run,
    ).outputs["studies"]
    examples = preprocess(
        studies=studies, recipe=recipe, overrides=overrides, beam_args=beam_args, **run
    ).outputs["examples"]
    model = train(examples=examples, recipe=recipe, overrides=overrides, seed=seed, **run).outputs["model"]
    evaluation = evaluate(examples=examples, model=model, **run).outputs["evaluation"]
    registered = register(
        model=model, evaluation=evaluation, tracking_uri=tracking_uri, model_name=model_name, **run
    )
    return registered.outputs["registration"]
