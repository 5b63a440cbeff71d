"""What pods cannot reach is refused before anything is uploaded."""

from __future__ import annotations

import pytest

from angiopipe import storage
from pipelines.__main__ import main
from pipelines.commands.reach import refuse_what_pods_cannot_reach
from pipelines.errors import PipelineError
from pipelines.settings import Settings

GOOD = {
    "data_root": "s3://bucket/root",
    "images": "s3://raw/images",
    "labels": "gs://raw/train.csv",
    "tracking_uri": "https://mlflow.example.org",
    "database": "postgresql+psycopg2://optuna@postgres:5432/optuna",
    "overrides": ["training.epochs=3", "model.weights=s3://bucket/w.h5"],
    "cluster_settings": "",
    "webhook": "https://chat.example.org/x",
}


def refused(settings: Settings | None = None, **values) -> str:
    """What is said of parameters, or nothing."""
    try:
        refuse_what_pods_cannot_reach(settings or Settings(), GOOD | values)
    except PipelineError as error:
        return str(error)
    return ""


def test_what_pods_reach_is_not_refused():
    assert refused() == ""
    for uri in (
        "http://mlflow.kubeflow:5000",
        "databricks",
        "databricks://profile",
        "postgresql://mlflow@db/mlflow",
    ):
        assert refused(tracking_uri=uri) == ""
    for weights in ("null", "imagenet", "synthetic", '"imagenet"'):
        assert refused(overrides=[f"model.weights={weights}"]) == ""
    assert refused(Settings(env={"MLFLOW_TRACKING_URI": "https://mlflow.example.org"}), tracking_uri="") == ""
    in_secret = {"MLFLOW_TRACKING_URI": {"secret": "mlflow", "key": "uri"}}
    assert refused(Settings(secret_env=in_secret), tracking_uri="") == ""


@pytest.mark.parametrize(
    "name",
    ["data_root", "images", "labels", "study_list", "clinical", "previous_statistics", "cluster_settings"],
)
@pytest.mark.parametrize("path", ["data/x", "/mnt/x", "~/x", "file:///mnt/x"])
def test_a_path_of_this_machine_is_refused(name, path):
    assert refused(**{name: path}) == (
        f"{name}: expected a URI that every pod reaches, found {path}, a path of this machine; copy it to the object store "
        "and give s3:// or gs://"
    )


def test_weights_of_this_machine_are_refused():
    assert "model.weights: expected a URI that every pod reaches, found w.h5" in refused(
        overrides=["model.weights=w.h5"]
    )


@pytest.mark.parametrize(
    "uri", ["sqlite:////tmp/mlflow.db", "mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "file:/tmp/mlruns"]
)
def test_a_registry_of_each_pods_own_is_refused(uri):
    expected = f"tracking_uri: expected MLflow's server, which all pods share, found {uri}"
    assert expected in refused(tracking_uri=uri)
    assert expected in refused(Settings(env={"MLFLOW_TRACKING_URI": uri}), tracking_uri="")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "0.0.0.0", "[::1]", "LOCALHOST"])
@pytest.mark.parametrize("name", ["tracking_uri", "webhook", "database", "storage.endpoint"])
def test_a_server_on_this_machine_is_refused(name, host):
    uri = f"{'postgresql+psycopg2' if name == 'database' else 'http'}://{host}:9000/x"
    expected = (
        f"{name}: expected a server that every pod reaches, found {uri}, which is each pod's own machine"
    )
    if name == "storage.endpoint":
        assert expected in refused(Settings(storage={"endpoint": uri}))
    else:
        assert expected in refused(**{name: uri})


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("", "found none; give --database"),
        (
            "sqlite:///searches.db",
            "found sqlite:///searches.db, for which the image has no driver or each pod",
        ),
        ("postgresql://optuna@postgres/optuna", "found postgresql://optuna@postgres/optuna, for which"),
        ("mysql+pymysql://u:secret@db/x", "found mysql+pymysql://u:...@db/x, for which"),
    ],
)
def test_a_search_needs_a_database_that_its_image_can_reach(uri, found):
    told = refused(database=uri)
    assert (
        "database: expected Optuna's, which all tries of the step share, as postgresql+psycopg2://user@host/name"
        in told
    )
    assert found in told
    assert "secret" not in told.replace("Secret", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected a YAML file, found nothing at memory://settings/"),
        ("namespace: kubeflow\nimage: x\ngpuz: 1\n", "expected cluster settings in YAML, found"),
        ("[", "expected cluster settings in YAML, found"),
        ("namespace: kubeflow\nimage: x\n", ""),
    ],
)
def test_cluster_settings_are_read_where_they_can_be(tmp_path, content, expected):
    uri = f"memory://settings/{tmp_path.name}.yaml"
    if content is not None:
        storage.write_text(uri, content)
    told = refused(cluster_settings=uri)
    assert expected in told
    assert bool(expected) == bool(told)


@pytest.mark.parametrize("uri", ["nosuch://bucket/settings.yaml", "s3://mlpipeline/settings.yaml"])
def test_cluster_settings_that_cannot_be_read_from_here_are_left_to_validate(uri, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    settings, notes = Settings(storage={"endpoint": "http://seaweedfs.kubeflow:9000"}), []
    refuse_what_pods_cannot_reach(settings, GOOD | {"cluster_settings": uri}, notes.append)
    (note,) = notes
    assert note.startswith(f"not checked: cluster_settings {uri}, ")
    assert note.endswith("validate will")


def test_a_search_without_a_database_uploads_nothing(kubeflow, write_settings):
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "submit",
                "search",
                "--settings",
                write_settings(),
                "--images",
                "images",
                "--labels",
                "s3://raw/l.csv",
            ]
        )
    assert "images: expected a URI that every pod reaches, found images" in str(caught.value)
    assert "database: expected Optuna's" in str(caught.value)
    assert not kubeflow.requests
