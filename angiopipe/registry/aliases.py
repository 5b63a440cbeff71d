"""Aliases that move by ledger: the log in MLflow's own backend, and the alias that follows from it.

The ledger of `<model>` is the registered model `<model>-ledger`: an entry is one of its versions. The
database numbers versions under a unique key and writes a version with its tags in one transaction, on
SQLite, PostgreSQL and MySQL alike, so an entry is there whole, has a number of its own, and once it is
seen none with a lower number comes after it (docs/registry.md). The model carries the last entry's
digest as a tag, which shows a ledger that was cut short.
"""

from __future__ import annotations

import logging
import socket
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from angiopipe.registry import ledger
from angiopipe.registry.ledger import DamagedLedger, Entry, Move, Numbered, Read
from angiopipe.registry.login import user_of

T = TypeVar("T")

log = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"

HEAD_TAG = "ledger_head"
"""Of the registered model, by alias: the digest of the last entry that counted."""

ATTEMPTS = 8
"""A busy database refuses for a while; a move that keeps losing is told after so many times."""


class LostMove(ValueError):
    """Somebody else moved the alias first."""


class Aliases:
    """The aliases of one registered model."""

    def __init__(self, client: MlflowClient, model_name: str):
        self.client = client
        self.model_name = model_name
        self.ledger_name = f"{model_name}-ledger"

    def read(self, alias: str) -> Read:
        """What the ledger says of an alias now.

        Raises:
          DamagedLedger: it was altered, cut or deleted.
        """
        found = ledger.read(self.entries(), alias)
        noted = self._tags().get(f"{HEAD_TAG}.{alias}")
        if noted and noted not in [item.digest for item in found.counted]:
            # A move of somebody else may have been published between the two reads above.
            found = ledger.read(self.entries(), alias)
            if noted not in [item.digest for item in found.counted]:
                raise DamagedLedger(
                    f"{self.ledger_name}: expected the entry {noted}, the last one that moved {alias}, found "
                    f"{len(found.counted)} entries without it: the ledger was deleted, cut or renamed"
                )
        return found

    def entries(self) -> list[Numbered]:
        """All entries, in no order."""
        found: list[Numbered] = []
        token = None
        while True:
            page = _patiently(
                partial(
                    self.client.search_model_versions,
                    f"name = '{self.ledger_name}'",
                    order_by=["version_number ASC"],  # New entries then come last, whatever was read before.
                    page_token=token,
                )
            )
            found += [_numbered(version) for version in page]
            token = page.token
            if not token:
                return found

    def current(self, alias: str) -> int | None:
        """The version that MLflow's alias points to, whatever the ledger says."""
        version = self._model().aliases.get(alias)
        return None if version is None else int(version)

    def move(self, alias: str, to: int, why: str, move: Move, seen: Read) -> Entry:
        """Moves an alias, if nobody has since the ledger was read.

        Args:
          alias: which one.
          to: the version it shall point to.
          why: in words.
          move: what for.
          seen: the ledger as it was when the move was decided.

        Raises:
          LostMove: another move came first; this one is in the ledger as lost.
        """
        origin = seen.version if seen.counted else self.current(alias)
        entry = Entry(
            id=uuid.uuid4().hex,
            after=seen.head,
            alias=alias,
            move=move,
            origin=origin,
            target=to,
            who=_patiently(lambda: who(self.client.tracking_uri)),
            why=why,
            run=self._version(to).run_id or "",
        )
        self._append(entry)
        found = self.publish(alias)
        if not found.counts(entry):
            raise LostMove(
                f"{self.model_name}: {alias} was moved to version {found.version} by "
                f"{found.counted[-1].entry.who} in the meantime; version {to} was not made {alias}: try again"
            )
        return entry

    def point(self, alias: str, to: int, why: str, move: Move) -> None:
        """Moves an alias that nobody competes for: whoever comes last has it; again is not a move."""
        for attempt in range(ATTEMPTS):
            seen = self.read(alias)
            if seen.version == to:
                self.publish(alias)
                return
            try:
                self.move(alias, to, why, move, seen)
                return
            except LostMove:
                if attempt == ATTEMPTS - 1:
                    raise

    def publish(self, alias: str) -> Read:
        """Sets MLflow's alias to what the ledger says, until both agree.

        Whoever sets the alias reads the ledger again afterwards. So the last one to set it has seen
        every entry that was published, and a late setter corrects itself.
        """
        found = self.read(alias)
        while found.version is not None:
            head = found.head
            if self.current(alias) != found.version and not self._set(alias, found.version):
                break
            tag = f"{HEAD_TAG}.{alias}"
            _patiently(partial(self.client.set_registered_model_tag, self.model_name, tag, head))
            found = self.read(alias)
            if found.head == head and self.current(alias) == found.version:
                break
        return found

    def _set(self, alias: str, version: int) -> bool:
        try:
            _patiently(partial(self.client.set_registered_model_alias, self.model_name, alias, str(version)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            log.warning(
                "%s: the ledger says that %s is version %d, which was deleted",
                self.model_name,
                alias,
                version,
            )
            return False
        return True

    def _append(self, entry: Entry) -> None:
        """Adds an entry; sending it again after an error is harmless, as its id counts once."""
        self._open()
        tags = {
            **{name: _text(value) for name, value in entry.model_dump().items()},
            "digest": entry.digest(),
        }
        origin = "nothing" if entry.origin is None else f"version {entry.origin}"
        words = f"{entry.alias}: {entry.move} {origin} -> version {entry.target} by {entry.who}: {entry.why}"
        _patiently(
            partial(
                self.client.create_model_version,
                self.ledger_name,
                source=f"models:/{self.model_name}/{entry.target}",
                run_id=entry.run or None,
                tags=tags,
                description=words,
            )
        )

    def _open(self) -> None:
        try:
            _patiently(
                partial(
                    self.client.create_registered_model,
                    self.ledger_name,
                    tags={"ledger_of": self.model_name},
                    description=f"Every move of an alias of {self.model_name}. Its versions are entries, not models "
                    "to serve; `angiopipe history` prints them. Deleting one breaks the ledger.",
                )
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _tags(self) -> dict[str, str]:
        return dict(self._model().tags)

    def _model(self) -> Any:
        return _patiently(partial(self.client.get_registered_model, self.model_name))

    def _version(self, version: int) -> Any:
        return _patiently(partial(self.client.get_model_version, self.model_name, str(version)))


_BUSY = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "BAD_REQUEST")
"""A locked database; numbers that were taken three times; a row that two inserted at once. Seen in MLflow 3.17:
setting an alias or a tag for the first time looks for it and then inserts it, and the second one's
unique constraint comes out as BAD_REQUEST."""


def _patiently(call: Callable[[], T]) -> T:
    """Asks a busy database again: all that is asked here may be asked twice."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except MlflowException as error:
            if error.error_code not in _BUSY:
                raise
            time.sleep(0.1 * 2**attempt)
    return call()


def who(uri: str) -> str:
    """User and machine; the user is the one MLflow's server has let in, where it asks for a password."""
    return f"{user_of(uri)}@{socket.gethostname()}"


def _numbered(version: Any) -> Numbered:
    tags = dict(version.tags)
    try:
        entry = Entry(
            **{name: tags[name] for name in Entry.model_fields if name not in ("origin", "target")},
            origin=int(tags["origin"]) if tags["origin"] else None,
            target=int(tags["target"]),
        )
        return Numbered(int(version.version), version.creation_timestamp / 1000, entry, tags["digest"])
    except (KeyError, ValueError) as error:
        raise DamagedLedger(
            f"{version.name}, entry {version.version}: expected the tags of an entry, found {sorted(tags)} ({error})"
        ) from None


def _text(value: object) -> str:
    return "" if value is None else str(value)
