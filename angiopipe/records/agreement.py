"""Whether the studies that were read agree with one another, with the labels CSV and with the examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from angiopipe.faults import Fault
from angiopipe.study import INDEX, LABELS, VIEW_NAMES
from angiopipe.tables import Columns, read_table

if TYPE_CHECKING:  # It imports TensorFlow, which nothing here needs.
    from angiopipe.records.readback import SeenStudy


class LabelLine(NamedTuple):
    """A study's line in the labels CSV, and its 22 values as text in the order of `study.LABELS`."""

    line: int
    labels: tuple[str, ...]


def read_label_lines(uri: str) -> dict[str, LabelLine]:
    """The lines of a labels CSV by Index, as they stand; `validate` is where they are judged.

    Raises:
      FaultyStudies: it lacks a column, or is no CSV.
    """
    table = read_table(uri, Columns((INDEX, *LABELS), others=True))
    return {index: LabelLine(line, tuple(labels)) for line, (index, *labels) in table.rows}


def repeated_studies(studies: Sequence[SeenStudy]) -> Iterator[Fault]:
    """A fault for each Index that is there more than once, in one split or in two."""
    for index, group in _grouped(studies).items():
        if len(group) > 1:
            places = " and ".join(f"{seen.split} ({seen.shard})" for seen in group)
            yield Fault(index, "", "", None, "one record in one split", places, "keep one")


def leaked_images(studies: Sequence[SeenStudy]) -> Iterator[Fault]:
    """A fault for each image whose bytes are in two splits, whatever its studies are called."""
    owners: dict[str, list[tuple[SeenStudy, str]]] = defaultdict(list)
    for seen in studies:
        for view, digest in zip(VIEW_NAMES, seen.digests, strict=True):
            if digest:
                owners[digest].append((seen, view))
    for digest, group in owners.items():
        # A study that is in two splits is told once, not for each of its images.
        if len({seen.split for seen, _ in group}) > 1 and len({seen.index for seen, _ in group}) > 1:
            (first, view), *others = group
            where = ", ".join(f"study {seen.index} view {view} ({seen.split})" for seen, view in others)
            expected = f"image {digest[:12]}... in {first.split} only"
            yield Fault(first.index, view, first.shard, None, expected, f"it as {where} too", "keep one")


def label_faults(
    studies: Sequence[SeenStudy], lines: Mapping[str, LabelLine], complete: bool
) -> Iterator[Fault]:
    """Faults where records and labels CSV differ.

    Args:
      studies: that were read.
      lines: from `read_label_lines`.
      complete: whether each line must have its record.
    """
    for seen in studies:
        if seen.index not in lines:
            yield _no_line(seen, "a line in the labels CSV")
            continue
        line, labels = lines[seen.index]
        wrong = [
            f"{name} {stored}, not {told}"
            for name, stored, told in zip(LABELS, seen.labels, labels, strict=False)
            if str(stored) != told
        ]
        if wrong:
            expected, remedy = "the labels of its line", "ingest these labels"
            yield Fault(seen.index, "", seen.shard, line, expected, ", ".join(wrong), remedy)
    if complete:
        for index in sorted(lines.keys() - {seen.index for seen in studies}):
            yield Fault(index, "", "", lines[index].line, "a record", "none in any shard", "ingest it")


def pseudonymous_label_faults(
    studies: Sequence[SeenStudy], lines: Mapping[str, LabelLine], complete: bool
) -> Iterator[Fault]:
    """The same without the key to the pseudonyms: no label vector is there more often than in the CSV."""
    left = Counter(line.labels for line in lines.values())
    for seen in studies:
        labels = tuple(map(str, seen.labels))
        left[labels] -= 1
        if left[labels] < 0:
            yield _no_line(seen, "a line of the labels CSV with its labels, not taken by another study")
    if complete and len(studies) < len(lines):
        yield Fault("", "", "labels CSV", None, f"{len(lines)} records", str(len(studies)), "ingest them all")


def example_faults(studies: Sequence[SeenStudy], examples: Sequence[SeenStudy]) -> Iterator[Fault]:
    """Faults where examples are not those of the studies: another split, other labels, other views."""
    sources = {seen.index: seen for seen in studies}
    for seen in examples:
        source = sources.pop(seen.index, None)
        if source is None:
            yield _no_line(seen, "a study it was made from")
            continue
        for what in ("split", "labels", "present", "clinical"):
            expected, found = (str(getattr(of, what)) for of in (source, seen))
            if expected != found:
                told = f"the study's {what} {expected}"
                yield Fault(seen.index, "", seen.shard, None, told, found, "preprocess again")
    for index, source in sources.items():
        yield Fault(index, "", source.shard, None, "an example", "none in any shard", "preprocess again")


def _no_line(seen: SeenStudy, expected: str) -> Fault:
    return Fault(seen.index, "", seen.shard, None, expected, "none", "ingest these data again")


def _grouped(studies: Sequence[SeenStudy]) -> dict[str, list[SeenStudy]]:
    groups: dict[str, list[SeenStudy]] = defaultdict(list)
    for seen in studies:
        groups[seen.index].append(seen)
    return groups
