"""From raw angiograms and a registered model to a table of answers."""

from kfp import dsl

from angiopipe import defaults
from components.score import score


@dsl.pipeline(name="scoring", description="Angiograms and the champion in, output.csv out.")
def scoring(
    images: str,
    study_list: str,
    data_root: str,
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    alias: str = defaults.CHAMPION,
    operating_point: str = defaults.OPERATING_POINT,
    allow_missing: int = 0,
    on_fault: str = "stop",
    quarantine_share: float = defaults.QUARANTINE_SHARE,
    beam_args: list[str] = list(defaults.BEAM_ARGS),  # noqa: B006 (Kubeflow reads it as the parameter's default)
    clinical: str = "",
    run_id: str = "",
) -> dsl.Dataset:
    """Scores studies with the champion.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images, DICOM among them; a path or URI.
      study_list: CSV with an `Index` column, such as test.csv, a path or URI; other columns are ignored.
      data_root: where the run keeps its data, a path or URI.
      tracking_uri: MLflow's server or database; empty is an SQLite database under the data root.
      model_name: the registered model.
      alias: which of its versions.
      operating_point: one of the model's own; makes the column `decision` of the predictions' table.
      allow_missing: how many views of a study may be absent.
      on_fault: "stop", or "quarantine" to go on without the faulty studies.
      quarantine_share: at most this share of the studies may be left out.
      beam_args: Beam's own options.
      clinical: CSV with `Index` and clinical variables, as for training; empty has none. Experimental.
      run_id: names the run under the data root, to go on with the work of an earlier one (`resume` gives it); empty is
        Kubeflow's own id.
    """
    # What was scored is in the run's own folder too; Kubeflow would not see that images changed in place.
    scored = score(
        images=images,
        study_list=study_list,
        data_root=data_root,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        given_run_id=run_id,
        tracking_uri=tracking_uri,
        model_name=model_name,
        alias=alias,
        operating_point=operating_point,
        allow_missing=allow_missing,
        on_fault=on_fault,
        quarantine_share=quarantine_share,
        beam_args=beam_args,
        clinical=clinical,
    )
    scored.set_caching_options(False)
    return scored.outputs["predictions"]
