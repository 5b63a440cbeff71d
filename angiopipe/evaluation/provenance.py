"""How a model came about, in the words of the report and the model card."""

from __future__ import annotations

from angiopipe.recipe import Octoview, SpatialAttention, Training, Vgg16
from angiopipe.records.manifest import ModelManifest

ABSENT_VIEWS = {
    "vgg16": "An absent view is a black picture to this model",
    "spatial_attention": "This model passes over an absent view",
    "octoview": "An absent view counts as no evidence",
}
"""What each architecture makes of a view that is not there."""


def rows(model: ModelManifest) -> list[tuple[str, str]]:
    """What a reader asks of a model's making, and the answer; `members` has more of an ensemble."""
    training = model.recipe.training
    averaging = f"exponential moving average, decay {training.ema:g}" if training.ema else "none"
    return [
        ("Architecture", model.recipe.model.architecture),
        ("Initial weights", _start(model.recipe.model)),
        ("Length of training", _length(training)),
        ("Epoch kept", _kept(model)),
        ("AUROC in validation", _validation(model)),
        ("Ensembling", _ensembling(model)),
        ("Averaging of weights over steps", averaging),
        ("Seed of what was drawn", _seed(model)),
    ]


def members(model: ModelManifest) -> list[tuple[str, str, str, str]]:
    """Of each member of an ensemble: the fold it was trained without, epoch, AUROC on that fold, SHA-256."""
    return [
        (str(fold), str(one.best_epoch), f"{one.fold_auroc:.3f}", one.weights_sha256)
        for fold, one in enumerate(model.members)
    ]


MEMBER_COLUMNS = ("Member, trained without fold", "Epoch kept", "AUROC on that fold", "Weights, SHA-256")

_STARTS = {
    None: "random",
    "imagenet": "from ImageNet",
    "synthetic": "those of the package, pretrained on synthetic studies",
}


def _start(model: Vgg16 | SpatialAttention | Octoview) -> str:
    if isinstance(model, Vgg16):
        return "random"
    start = _STARTS.get(model.weights, f"from {model.weights}")
    if isinstance(model, SpatialAttention):
        return f"ResNet50's {start}, the rest random" if model.weights else start
    return f"{start}; the first {model.frozen} convolutions keep them" if model.frozen else start


def _length(training: Training) -> str:
    told = [f"at most {training.epochs} epochs"]
    if training.minutes:
        told.append(f"at most {training.minutes:g} minutes, which may cut the last epoch short")
    if training.early_stopping:
        told.append(f"ended by {training.early_stopping} epochs without a better AUROC")
    return "; ".join(told) + (", each member" if training.ensemble else "")


def _kept(model: ModelManifest) -> str:
    if model.members:
        kept = ", ".join(map(str, model.epochs_kept))
        return f"{kept}: each member's by the AUROC on the fold of the training studies that it was trained without"
    return f"{model.best_epoch}, by the AUROC in validation"


def _validation(model: ModelManifest) -> str:
    told = f"{model.validation_auroc:.3f}"
    if not model.members:
        return f"{told}, by which the epoch was chosen"
    return f"{told}, of the members' mean; no weights and no epoch were chosen by it"


def _ensembling(model: ModelManifest) -> str:
    return f"the mean of {len(model.members)} members' logits" if model.members else "none"


def _seed(model: ModelManifest) -> str:
    if not model.members:
        return str(model.seed)
    last = model.seed + len(model.members) - 1
    return f"{model.seed} for the folds, {model.seed} to {last} for the members"
