"""The ledger: every move of an alias is an entry in an append-only log, and the log decides who won.

MLflow can set an alias but not compare and set it, so two promotions at once could both succeed. The
entries of a log that is numbered by the database can be: each names the entry it follows, and of two
that follow the same one only the first counts. Reading the log is a pure function of its entries, so
everybody who reads them finds the same champion. Nothing here knows MLflow; `aliases` keeps the log there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from angiopipe.recipe import Fields

BEGINNING = ""
"""What the first entry of an alias follows."""

Move = Literal["promote", "rollback", "register"]


class DamagedLedger(ValueError):
    """The log was changed by something else than an entry being added."""


class Entry(Fields):
    """One move of an alias, as whoever made it wrote it down.

    Attributes:
      id: of this entry, random; the same entry sent twice counts once.
      after: the digest of the last entry of this alias that counted when this one was written.
      alias: which one moves.
      move: what for; only a rollback takes the champion back to the one before.
      origin: the version it moves from; None where it pointed nowhere.
      target: the version it moves to.
      who: user and machine, as they call themselves.
      why: in words.
      run: the MLflow run of the target.
    """

    id: str
    after: str
    alias: str
    move: Move
    origin: int | None
    target: int
    who: str
    why: str
    run: str


@dataclass(frozen=True)
class Numbered:
    """An entry as it is found in the log.

    Attributes:
      number: given by the registry's database, once.
      when: seconds since 1970, by the registry's clock.
      entry: what was written down.
      digest: as it was noted when the entry was written.
    """

    number: int
    when: float
    entry: Entry
    digest: str


@dataclass(frozen=True)
class Read:
    """What the log says of one alias.

    Attributes:
      counted: the entries that moved the alias, in their order.
      lost: those that came too late or twice: they moved nothing.
      missing: numbers that are not in the log, of whatever alias.
    """

    counted: tuple[Numbered, ...]
    lost: tuple[Numbered, ...]
    missing: tuple[int, ...]

    @property
    def head(self) -> str:
        """What the next entry has to follow."""
        return self.counted[-1].digest if self.counted else BEGINNING

    @property
    def stack(self) -> tuple[int, ...]:
        """The versions one rollback after the other leads back to; the last is the present one."""
        stack: list[int] = []
        for item in self.counted:
            if not stack and item.entry.origin is not None:
                stack.append(item.entry.origin)
            if item.entry.move == "rollback":
                stack.pop()
            else:
                stack.append(item.entry.target)
        return tuple(stack)

    @property
    def version(self) -> int | None:
        """The version that the alias points to; None where no entry counts."""
        return self.counted[-1].entry.target if self.counted else None

    def counts(self, entry: Entry) -> bool:
        return any(item.entry.id == entry.id for item in self.counted)


def read(log: Iterable[Numbered], alias: str) -> Read:
    """Decides which entries of an alias count.

    An entry counts when it follows the last one that counted. One that follows an earlier one was
    written by somebody who had not seen the later one: it lost.

    Args:
      log: all entries, of all aliases, in any order.
      alias: whose moves to read.

    Raises:
      DamagedLedger: an entry was altered, or one that another follows is not there any more.
    """
    items = sorted(log, key=lambda item: item.number)
    counted: list[Numbered] = []
    lost: list[Numbered] = []
    for item in (item for item in items if item.entry.alias == alias):
        if item.entry.digest() != item.digest:
            raise DamagedLedger(
                f"ledger entry {item.number}: expected the content whose digest is {item.digest}, "
                f"found one of {item.entry.digest()}: it was altered"
            )
        heads = [BEGINNING, *(earlier.digest for earlier in counted)]
        if item.entry.after not in heads:
            raise DamagedLedger(
                f"ledger entry {item.number}: the entry it follows ({item.entry.after}) is not in the log: "
                "it was deleted or altered"
            )
        (counted if item.entry.after == heads[-1] else lost).append(item)
    return Read(tuple(counted), tuple(lost), _missing(items))


def _missing(items: Sequence[Numbered]) -> tuple[int, ...]:
    numbers = {item.number for item in items}
    return tuple(number for number in range(1, max(numbers, default=0)) if number not in numbers)
