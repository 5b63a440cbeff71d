from kfp import dsl

from components.face import base_component


@base_component()
def validate(
    images: str, labels: str, data_root: str, run_id: str, inventory: dsl.Output[dsl.Dataset]
) -> None:
    """Checks labels and images, and lists them for the steps that follow."""
    from angiopipe.cohort.validate import validate as run

    run(images=images, labels=labels, out=inventory.path, data_root=data_root, run_id=run_id)
