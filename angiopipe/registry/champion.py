"""The commands on the champion by hand: take it back, and read how it came to be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from angiopipe import defaults
from angiopipe.registry.connect import in_words, registry

if TYPE_CHECKING:
    from angiopipe.registry.aliases import Aliases
    from angiopipe.registry.ledger import Numbered


def rollback(
    why: str, model_name: str = defaults.MODEL_NAME, data_root: str = "", tracking_uri: str = ""
) -> None:
    """Makes the previous champion the champion again.

    Args:
      why: in words, for the ledger.
      model_name: the registered model.
      data_root: where the SQLite database lies, if that is MLflow's.
      tracking_uri: MLflow's server or database.

    Raises:
      ValueError: there is no previous champion, it cannot be served, or another move came first.
    """
    if not why.strip():
        raise ValueError("expected a reason in --why: the ledger keeps it")
    client, uri = registry(tracking_uri, data_root)
    with in_words(uri, model_name):
        from angiopipe.registry.aliases import CHAMPION, Aliases
        from angiopipe.registry.recheck import recheck

        aliases = Aliases(client, model_name)
        seen = aliases.read(CHAMPION)
        if len(seen.stack) < 2:
            raise ValueError(
                f"{model_name}: expected an earlier champion to go back to, found none: promote a version instead"
            )
        present, previous = seen.stack[-1], seen.stack[-2]
        recheck(client, uri, model_name, previous)
        aliases.move(CHAMPION, previous, why, "rollback", seen)
        print(f"{model_name}: champion is version {previous} again, after version {present}")


def history(
    model_name: str = defaults.MODEL_NAME, data_root: str = "", tracking_uri: str = "", repair: bool = False
) -> None:
    """Prints every move of the aliases: number, when, from, to, who, why.

    Args:
      model_name: the registered model.
      data_root: where the SQLite database lies, if that is MLflow's.
      tracking_uri: MLflow's server or database.
      repair: set aliases that were moved behind the ledger's back to what it says.

    Raises:
      ValueError: there is no such model, or the ledger was altered or cut.
    """
    client, uri = registry(tracking_uri, data_root)
    with in_words(uri, model_name):
        from angiopipe.registry.aliases import Aliases

        print(describe(Aliases(client, model_name), repair))


def describe(aliases: Aliases, repair: bool = False) -> str:
    """The ledger as a table, and whether MLflow's aliases agree with it.

    Raises:
      DamagedLedger: it was altered or cut; the message shows it all the same.
    """
    from angiopipe.registry.aliases import CHALLENGER, CHAMPION
    from angiopipe.registry.ledger import DamagedLedger

    entries = sorted(aliases.entries(), key=lambda item: item.number)
    try:
        found = {
            alias: aliases.publish(alias) if repair else aliases.read(alias)
            for alias in (CHAMPION, CHALLENGER)
        }
    except DamagedLedger as damage:
        raise DamagedLedger(f"{damage}; see docs/registry.md. It reads:\n{_table(entries, ())}") from None
    lost = [item.number for read in found.values() for item in read.lost]
    parts = [_table(entries, lost)]
    parts += [agreement(alias, read.version, aliases.current(alias)) for alias, read in found.items()]
    missing = found[CHAMPION].missing
    if missing:
        parts.append(f"entries that were deleted: {', '.join(map(str, missing))}")
    return "\n".join(parts)


def agreement(alias: str, said: int | None, pointed: int | None) -> str:
    if said == pointed:
        return f"{alias}: {_version(pointed)}"
    if said is None:
        return f"{alias}: {_version(pointed)}, set before there was a ledger"
    return (
        f"{alias}: the ledger says {_version(said)}, MLflow's alias points to {_version(pointed)}: it was moved "
        "behind the ledger's back; `angiopipe history --repair` sets it right"
    )


def _table(entries: Sequence[Numbered], lost: Collection[int]) -> str:
    rows = [("#", "when (UTC)", "alias", "move", "from", "to", "who", "run", "why")]
    for item in entries:
        entry = item.entry
        rows.append(
            (
                str(item.number),
                datetime.fromtimestamp(item.when, UTC).strftime("%Y-%m-%d %H:%M:%S"),
                entry.alias,
                f"{entry.move} (lost)" if item.number in lost else entry.move,
                "-" if entry.origin is None else str(entry.origin),
                str(entry.target),
                entry.who,
                entry.run[:8],
                entry.why,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _version(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
