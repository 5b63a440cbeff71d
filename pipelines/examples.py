"""The steps before any training, which pipelines share: from raw images to one recipe's examples."""

from typing import Any, NamedTuple

from kfp import dsl

from components.audit import audit
from components.ingest import ingest
from components.preprocess import preprocess
from components.validate import validate


class Made(NamedTuple):
    """What the steps hand on.

    Attributes:
      inventory: of the images and labels.
      studies: as they are stored.
      examples: of the recipe.
      fingerprint: of the examples' data and code, for the caching of what is made from them.
    """

    inventory: Any
    studies: Any
    examples: Any
    fingerprint: Any


def make_examples(
    run: dict[str, Any],
    images: Any,
    labels: Any,
    recipe: Any,
    overrides: Any,
    beam_args: Any,
    on_fault: Any = "stop",
    pseudonymise: Any = False,
    **validation: Any,
) -> Made:
    """Adds validate, ingest, audit and preprocess to the pipeline under construction.

    Args:
      run: `data_root`, `run_id` and `given_run_id`, which every step takes.
      images: as for the training pipeline, and so are the others.
      labels: the CSV.
      recipe: by name.
      overrides: of its fields.
      beam_args: Beam's own options.
      on_fault: what becomes of faulty studies.
      pseudonymise: whether each Index is replaced.
      validation: the other parameters of `validate`, those of later steps among them.
    """
    validated = validate(
        images=images,
        labels=labels,
        recipe=recipe,
        overrides=overrides,
        on_fault=on_fault,
        pseudonymise=pseudonymise,
        **validation,
        **run,
    )
    ingested = ingest(
        inventory=validated.outputs["inventory"],
        fingerprint=validated.outputs["Output"],
        pseudonymise=pseudonymise,
        beam_args=beam_args,
        **run,
    )
    studies = ingested.outputs["studies"]
    audited = audit(studies=studies, labels=labels, on_fault=on_fault, pseudonymise=pseudonymise, **run)
    preprocessed: dsl.PipelineTask = preprocess(
        studies=studies,
        fingerprint=ingested.outputs["Output"],
        recipe=recipe,
        overrides=overrides,
        beam_args=beam_args,
        **run,
    ).after(audited)
    return Made(
        validated.outputs["inventory"],
        studies,
        preprocessed.outputs["examples"],
        preprocessed.outputs["Output"],
    )
