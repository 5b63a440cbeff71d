from kfp import dsl

from components.face import base_component


@base_component()
def ingest(
    inventory: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    seed: int,
    validation_share: float,
    test_share: float,
    beam_args: list[str],
    studies: dsl.Output[dsl.Dataset],
) -> None:
    """Writes the studies of an inventory as TFRecord shards, split for training and evaluation."""
    from angiopipe.dataflow.ingest import ingest as run

    run(
        inventory=inventory.path,
        out=studies.path,
        data_root=data_root,
        run_id=run_id,
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        beam_args=beam_args,
    )
