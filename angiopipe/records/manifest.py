"""Manifests: the small JSON files that steps hand to one another in place of a cohort.

A manifest says what the data is and where its shards lie. It is written after the last shard, so
its presence is what makes a folder of shards count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, PositiveFloat, ValidationError, model_validator

from angiopipe import defaults, storage
from angiopipe.recipe import Fields, Octoview, Recipe

MANIFEST_NAME = "manifest.json"


class Shard(Fields):
    """One TFRecord file of a data set.

    Attributes:
      name: file name in the manifest's location.
      split: the split whose studies it holds.
      studies: how many records.
      bytes: its size.
      sha256: of its bytes.
    """

    name: str
    split: str
    studies: int
    bytes: int
    sha256: str


def require_clinical(recipe: Recipe, known: Sequence[str], where: str) -> None:
    """Refuses data without the clinical variables that a recipe's model takes.

    Args:
      recipe: whose model.
      known: the variables that are known of some study.
      where: what holds them, for the error.

    Raises:
      ValueError: some are not known of any study.
    """
    wanted = clinical_of(recipe)
    absent = [name for name in wanted if name not in known]
    if absent:
        raise ValueError(
            f"{where}: expected the clinical variables {', '.join(wanted)} of model.clinical, found "
            f"{', '.join(known) or 'none'}; run validate with a --clinical CSV that knows {', '.join(absent)} of some "
            "study, and the steps after it"
        )


def clinical_of(recipe: Recipe) -> tuple[str, ...]:
    """The clinical variables that a recipe's model takes; none but octoview's can take any."""
    return recipe.model.clinical if isinstance(recipe.model, Octoview) else ()


class Manifest(Fields):
    """A step's artifact, as one JSON file."""

    @classmethod
    def read(cls, uri: str) -> Self:
        """Reads a manifest.

        Raises:
          ValueError: the file is not a manifest of this kind.
        """
        try:
            return cls.model_validate_json(storage.read_text(uri))
        except ValidationError as error:
            raise ValueError(f"{uri}: expected a {cls.__name__}, found {error}") from None

    def write(self, uri: str) -> None:
        storage.write_text(uri, self.model_dump_json(indent=1) + "\n")


class InventoryManifest(Manifest):
    """An inventory; `location` holds its tables, the faults and the statistics.

    Attributes:
      fingerprint: of the content and the splits.
      data_fingerprint: of the content (Index, labels and image bytes), whatever its order or place.
      studies: how many.
      positives: how many of them have an aneurysm.
      images: how many; eight a study unless absent views were allowed.
      quarantined: studies left out because of their faults.
      clinical: the clinical variables that were given; none without clinical data.
    """

    kind: Literal["inventory"] = "inventory"
    location: str
    fingerprint: str
    data_fingerprint: str
    studies: int
    positives: int
    images: int
    quarantined: int
    clinical: tuple[str, ...] = ()

    @property
    def labels_uri(self) -> str:
        return storage.join(self.location, "labels.parquet")

    @property
    def clinical_uri(self) -> str:
        """One row a study, where there is clinical data."""
        return storage.join(self.location, "clinical.parquet")

    @property
    def views_uri(self) -> str:
        return storage.join(self.location, "views.parquet")

    @property
    def faults_uri(self) -> str:
        return storage.join(self.location, "faults.csv")

    @property
    def statistics_uri(self) -> str:
        return storage.join(self.location, "statistics.json")

    @property
    def page_uri(self) -> str:
        return storage.join(self.location, "statistics.html")


class ShardedManifest(Manifest):
    """What studies and examples have in common.

    Attributes:
      fingerprint: names the content; also the last part of `location`.
      data_fingerprint: names the raw data set (images and labels) it was made from.
      location: URI of the folder that holds the shards.
      shards: in the order of their names.
      clinical: the clinical variables that were given for the raw data; none where its records hold none.
    """

    fingerprint: str
    data_fingerprint: str
    location: str
    shards: tuple[Shard, ...]
    clinical: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Studies per split."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            counts[shard.split] = counts.get(shard.split, 0) + shard.studies
        return counts

    @property
    def studies(self) -> int:
        return sum(shard.studies for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def shard_uris(self, split: str) -> list[str]:
        return [storage.join(self.location, shard.name) for shard in self.shards if shard.split == split]


class StudiesManifest(ShardedManifest):
    """Studies: one record a study, original encoded bytes."""

    kind: Literal["studies"] = "studies"


class ExamplesManifest(ShardedManifest):
    """Examples: one record a study, uint8 views ready for training.

    Attributes:
      shape: (views, rows, columns, channels) of an example.
      recipe: the name of the recipe whose preprocessing made them.
      preprocessing_digest: of the preprocessing's fields.
    """

    kind: Literal["examples"] = "examples"
    shape: tuple[int, int, int, int]
    recipe: str
    preprocessing_digest: str

    def require_clinical(self, recipe: Recipe) -> None:
        """Raises ValueError unless the examples hold the clinical variables that a recipe's model takes."""
        require_clinical(recipe, self.clinical, f"examples {self.fingerprint}")


class Member(Fields):
    """One model of an ensemble, trained without one fold of the training split.

    Attributes:
      weights: name of its weights' file in the manifest's location.
      weights_sha256: of that file.
      best_epoch: the epoch, counted from 1, whose weights were kept.
      fold_auroc: of `Aneurysm` on the fold it was trained without, at that epoch.
    """

    weights: str
    weights_sha256: str
    best_epoch: int
    fold_auroc: float


def ensemble_sha256(members: Sequence[Member]) -> str:
    """What names an ensemble's weights as one: the SHA-256 of its members' SHA-256s, a line each."""
    return hashlib.sha256("".join(f"{m.weights_sha256}\n" for m in members).encode()).hexdigest()


class ModelManifest(Manifest):
    """A trained model: `location` holds its weights, `history.csv` and `environment.json`.

    Attributes:
      location: URI of the folder.
      recipe: all settings it was made with; rebuilds the architecture.
      examples_fingerprint, data_fingerprint: what it was trained on.
      seed: of initial weights and shuffling.
      best_epoch: the epoch, counted from 1, whose weights were kept; 0 for an ensemble, whose members
        have their own.
      validation_auroc: of `Aneurysm` with these weights.
      weights_sha256: of `model.weights.h5`; of an ensemble see `ensemble_sha256`.
      members: of an ensemble, in the order of their folds; empty for a single model.
    """

    kind: Literal["model"] = "model"
    location: str
    recipe: Recipe
    examples_fingerprint: str
    data_fingerprint: str
    seed: int
    best_epoch: int
    validation_auroc: float
    weights_sha256: str
    members: tuple[Member, ...] = ()

    @model_validator(mode="after")
    def _members_are_named(self) -> Self:
        if self.members and self.weights_sha256 != ensemble_sha256(self.members):
            raise ValueError(
                f"weights_sha256: expected {ensemble_sha256(self.members)}, that of the {len(self.members)} "
                f"members, found {self.weights_sha256}; train again or restore the manifest"
            )
        return self

    @property
    def weights_files(self) -> dict[str, str]:
        """The URI of every file of weights, to its SHA-256; one for a single model."""
        if not self.members:
            return {self.weights_uri: self.weights_sha256}
        return {storage.join(self.location, m.weights): m.weights_sha256 for m in self.members}

    def is_whole(self) -> bool:
        """Whether every file of weights is there with its own content."""

        def sha256(uri: str) -> str:
            with storage.staged(uri) as path:
                return storage.file_sha256(path)

        return all(storage.exists(uri) and sha256(uri) == own for uri, own in self.weights_files.items())

    @property
    def weights_uri(self) -> str:
        """Of a single model's weights."""
        return storage.join(self.location, "model.weights.h5")

    @property
    def history_uri(self) -> str:
        return storage.join(self.location, "history.csv")

    @property
    def environment_uri(self) -> str:
        return storage.join(self.location, "environment.json")

    @property
    def epochs_kept(self) -> tuple[int, ...]:
        """The best epoch of the model, or of every member."""
        return tuple(member.best_epoch for member in self.members) or (self.best_epoch,)


class Calibration(Fields):
    """Temperatures that logits are divided by before the sigmoid, fitted on validation studies; 1 changes nothing.

    They keep the order of the studies, so no ranking changes, only how far a probability may be believed.

    Attributes:
      aneurysm: of the logit of `Aneurysm`.
      locations: of the logits of all locations together, as single ones are too rare to fit.

    Source: Guo et al. 2017, "On calibration of modern neural networks".
    """

    aneurysm: PositiveFloat = 1.0
    locations: PositiveFloat = 1.0


class OperatingThreshold(Fields):
    """A threshold chosen on validation studies.

    Attributes:
      name: one of `evaluation.operating_points.RULES`, part of the metrics' names.
      rule: how the threshold was chosen, for a reader.
      threshold: a study is called positive from this calibrated probability of `Aneurysm` on; above 1,
        none is.
    """

    name: str
    rule: str
    threshold: float = Field(ge=0)


class EvaluationManifest(Manifest):
    """What evaluation found: `location` holds `predictions.csv`, `report.html` and the model card.

    `predictions.csv` has a row for each validation and test study: `Index`, `split`, and for each of
    the 22 labels `true_<label>`, `probability_<label>` (calibrated) and `logit_<label>` (as the model
    gives it), empty where the model predicts no location; `missing_views` names those absent.

    Attributes:
      location: URI of the folder.
      examples_fingerprint, data_fingerprint: what it was evaluated on.
      weights_sha256: of the model's weights, so that figures cannot be credited to another model.
      test_fingerprint: names the test studies by Index, labels and the content of their views before
        preprocessing; the same for every recipe, order and cut into shards.
      calibration: what the probabilities are made with; the predictor must use it too.
      operating_points: thresholds on the calibrated probability, chosen on validation.
      metrics: flat name to value, as MLflow and Kubeflow show them; no NaN.
      roc: false positive rate, true positive rate and threshold of each point of the test ROC.
    """

    kind: Literal["evaluation"] = "evaluation"
    location: str
    examples_fingerprint: str
    data_fingerprint: str
    weights_sha256: str
    test_fingerprint: str
    calibration: Calibration
    operating_points: tuple[OperatingThreshold, ...]
    metrics: dict[str, float]
    roc: tuple[tuple[float, float, float], ...]

    @property
    def predictions_uri(self) -> str:
        return storage.join(self.location, "predictions.csv")

    @property
    def report_uri(self) -> str:
        return storage.join(self.location, "report.html")

    @property
    def card_uri(self) -> str:
        return storage.join(self.location, "card.md")

    @property
    def card_page_uri(self) -> str:
        return storage.join(self.location, "card.html")

    def operating_point(self, name: str = defaults.OPERATING_POINT) -> OperatingThreshold:
        """The operating point of a name.

        Raises:
          ValueError: there is no such operating point.
        """
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise ValueError(f"operating point {name!r}: expected one of {known}")
