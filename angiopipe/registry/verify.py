"""The verify command: whether versions, their files, ledger, aliases and runs are there together, as after a restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from angiopipe import defaults, storage
from angiopipe.registry.connect import in_words, registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from angiopipe.registry.aliases import Aliases


def verify(model_name: str = defaults.MODEL_NAME, data_root: str = "", tracking_uri: str = "") -> None:
    """Looks whether a model's versions, their files, the ledger and the aliases belong together.

    The versions that aliases point to, and the one that a rollback would lead to, are loaded and asked; of
    the others it looks whether there are files.

    Args:
      model_name: the registered model.
      data_root: where runs keep their data: each that has registered a version must find it; empty looks for none.
      tracking_uri: MLflow's server or database.

    Raises:
      ValueError: names all that does not fit, and what to do about each.
      MlflowRefused: MLflow does not let this user in.
    """
    client, uri = registry(tracking_uri, data_root)
    with in_words(uri, model_name):
        from angiopipe.registry.aliases import Aliases
        from angiopipe.registry.patience import shown

        aliases = Aliases(client, model_name)
        found = client.search_model_versions(f"name = '{model_name}'")
        versions = {int(version.version): version for version in found}
        faults = [
            *_of_the_ledger(aliases, versions),
            *_of_the_files(aliases, uri, versions),
            *_of_the_runs(data_root, model_name, versions),
        ]
    if faults:
        raise ValueError(
            f"{model_name} in {shown(uri)}: expected what belongs together, found {len(faults)} faults:\n  "
            + "\n  ".join(faults)
        )
    print(f"{model_name} in {shown(uri)}: {len(versions)} versions; files, ledger, aliases and runs agree")


def _of_the_ledger(aliases: Aliases, versions: Mapping[int, ModelVersion]) -> Iterator[str]:
    from angiopipe.registry.aliases import CHALLENGER, CHAMPION
    from angiopipe.registry.champion import agreement
    from angiopipe.registry.ledger import DamagedLedger

    for alias in (CHAMPION, CHALLENGER):
        try:
            said = aliases.read(alias).version
        except DamagedLedger as damage:
            yield f"{damage}: restore the database, or give the ledger up (docs/registry.md)"
            continue
        pointed = aliases.current(alias)
        if said is not None and said not in versions:
            yield f"{alias}: the ledger says version {said}, which was deleted: promote another"
        elif said is not None and said != pointed:
            yield agreement(alias, said, pointed)


def _of_the_files(aliases: Aliases, uri: str, versions: Mapping[int, ModelVersion]) -> Iterator[str]:
    """Versions whose files are gone, and those in use that cannot be served."""
    from angiopipe.registry.patience import single_attempts
    from angiopipe.registry.recheck import recheck
    from angiopipe.registry.versions import has_files

    used = _in_use(aliases)
    for number, version in sorted(versions.items()):
        run = version.tags.get("run_folder", "").rpartition("/")[2] or "that made it"
        again = f"start register again with the run id {run}, which stores them anew"
        with single_attempts():
            there = has_files(f"models:/{aliases.model_name}/{number}")
        if not there:
            yield f"version {number}: its files are not in the store: {again}"
        elif number in used:
            try:
                recheck(aliases.client, uri, aliases.model_name, number)
            except ValueError as error:
                yield f"version {number}: {error}; restore its files, or delete them and {again}"


def _in_use(aliases: Aliases) -> set[int]:
    """The versions that aliases point to, and the one that a rollback leads to."""
    from angiopipe.registry.aliases import CHALLENGER, CHAMPION
    from angiopipe.registry.ledger import DamagedLedger

    pointed = {aliases.current(alias) for alias in (CHAMPION, CHALLENGER)}
    with suppress(DamagedLedger):
        pointed |= set(aliases.read(CHAMPION).stack[-2:])
    return {version for version in pointed if version is not None}


def _of_the_runs(data_root: str, model_name: str, versions: Mapping[int, ModelVersion]) -> Iterator[str]:
    """Runs whose version the registry does not know, as of a database that was restored to an earlier point."""
    from angiopipe.registry.register import RegistrationManifest
    from angiopipe.registry.tracking import RUN_FOLDER_TAG

    for folder in (
        storage.list_folders(storage.join(storage.absolute(data_root), "runs")) if data_root else ()
    ):
        place = storage.join(folder, "registration.json")
        if not storage.exists(place):
            continue
        found = RegistrationManifest.read(place)
        if found.model_name == model_name and folder not in {
            version.tags.get(RUN_FOLDER_TAG) for version in versions.values()
        }:
            yield (
                f"run {folder.rpartition('/')[2]}: it registered version {found.version}, which is not there or "
                f"another run's: start register again with its run id, which adds a version from {folder}"
            )
