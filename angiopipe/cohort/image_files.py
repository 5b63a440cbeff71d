"""Which file holds which view of a study: by its name in a folder, or by an image manifest."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from angiopipe import storage
from angiopipe.cohort.examine import EXTENSIONS
from angiopipe.cohort.image_manifest import read_image_manifest
from angiopipe.faults import FaultyStudies
from angiopipe.imaging import dicom
from angiopipe.study import INDEX, VIEW_NAMES

DICOM_EXTENSIONS = ("dcm", "dicom", "ima")

FOLDERS_SEARCHED, LEVELS_SEARCHED = 50, 3
"""Where images are looked for that are not in the folder given."""

FILES_TRIED = 100
"""Of an image manifest, spread over it: where none of them is there, its paths are wrong."""

_MANIFEST = "name them in an image manifest, a CSV Index,view,path (docs/data.md)"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image that a study should have.

    Attributes:
      uri: where it is; None where none was found, or several.
      frame: of a DICOM run, counted from 1; None takes the whole run.
      line: the study's line in the labels CSV.
      rivals: the files that could be it, where there are several.
    """

    index: str
    view: str
    uri: str | None
    frame: int | None
    line: int
    rivals: tuple[str, ...] = ()


def image_files(images: str, studies: pd.DataFrame) -> list[ImageFile]:
    """Eight images a study, from a folder or an image manifest.

    Args:
      images: URI of the folder, or of the manifest's CSV.
      studies: `Index` and `line` of the studies wanted.

    Raises:
      FaultyStudies: the manifest is faulty; or there is no image of any study, and one sentence says why.
    """
    try:
        if images.lower().endswith(".csv") and not storage.is_folder(images):
            return _listed(images, studies)
        files = find_images(images, studies)
        if files and not any(file.uri or file.rivals for file in files):
            raise FaultyStudies(
                f"{images}: expected images of {_some(studies)}, {_why_none(images, studies)}", []
            )
        return files
    except OSError as error:
        raise FaultyStudies(
            f"{images}: expected a folder of images or an image manifest, found {storage.in_words(error)}; correct "
            "the path or the permissions",
            [],
        ) from None


def find_images(images: str, labels: pd.DataFrame) -> list[ImageFile]:
    """The eight image files of each study, named `<Index><view>` with a known extension.

    A second file whose name differs in its extension or in upper and lower case alone is a rival, unless
    another study's view is called so.

    Args:
      images: URI of the folder.
      labels: `Index` and `line` of the studies wanted.
    """
    found: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for uri in _pictures(storage.list_files(images)):
        name = _stem(uri).lower()
        first = found.setdefault(name, uri)
        if first != uri:
            several.setdefault(name, [first]).append(uri)
    wanted = {f"{index}{view}" for index in labels[INDEX] for view in VIEW_NAMES} if several else set()

    def file(index: str, view: str, line: int) -> ImageFile:
        name = f"{index}{view}"
        uris = several.get(name.lower()) or filter(None, [found.get(name.lower())])
        own = [uri for uri in uris if _stem(uri) == name or _stem(uri) not in wanted]
        if name not in map(_stem, own):
            own = []
        one = own[0] if len(own) == 1 else None
        return ImageFile(index, view, one, None, line, () if one else tuple(own))

    places = zip(labels[INDEX], labels["line"], strict=True)
    return [file(index, view, line) for index, line in places for view in VIEW_NAMES]


def _listed(manifest: str, studies: pd.DataFrame) -> list[ImageFile]:
    """The images that an image manifest names for the studies wanted.

    Raises:
      FaultyStudies: the manifest is faulty, names no image of any study, or none that is there.
    """
    table = read_image_manifest(manifest)
    named = {
        (row.Index, row.view): (row.uri, None if pd.isna(row.frame) else int(row.frame))
        for row in table.itertuples(index=False)
    }
    files = [
        ImageFile(index, view, *named.get((index, view), (None, None)), line)
        for index, line in zip(studies[INDEX], studies["line"], strict=True)
        for view in VIEW_NAMES
    ]
    uris = [file.uri for file in files if file.uri]
    if files and not uris:
        raise FaultyStudies(
            f"{manifest}: expected images of {_some(studies)}, found those of {_some(table)} alone; give the "
            "manifest of these studies",
            [],
        )
    if uris and not any(map(storage.exists, uris[:: -(-len(uris) // FILES_TRIED)])):
        raise FaultyStudies(
            f"{manifest}: expected the files that it names, found none of them, such as {uris[0]}; correct the "
            "paths: relative ones start at the manifest's folder",
            [],
        )
    return files


def _why_none(images: str, studies: pd.DataFrame) -> str:
    """What is in a folder without an image of any study, and what to do."""
    if not storage.exists(images):
        return "found nothing there; correct the path"
    if not storage.is_folder(images):
        return f"found a file that is no folder; give the folder, or {_MANIFEST}"
    wanted = {f"{index}{view}" for index in studies[INDEX] for view in VIEW_NAMES}
    holding = [folder for folder in _around(images) if _holds(folder, wanted)]
    if holding:
        if len(holding) == 1:
            return f"found them in {holding[0]}; give that folder"
        found = f"found them in {holding[0]} and {len(holding) - 1} other folders"
        return f"{found}; put them into one, or {_MANIFEST}"
    files = [uri for uri in storage.list_files(images) if not posixpath.basename(uri).startswith(".")]
    if not files:
        return "found an empty folder; correct the path"
    # Archives call files as they like, by number or without an extension.
    named = next((uri for uri in files if _extension(uri) in DICOM_EXTENSIONS), None)
    one = named or files[0]
    found = f"found {len(files)} files, such as {posixpath.basename(one)}"
    if named or dicom.is_dicom(storage.read_bytes(one)):
        return f"{found}, which is DICOM; {_MANIFEST}"
    expected = f"{studies[INDEX].iloc[0]}{VIEW_NAMES[0]}.jpg"
    return f"{found}, none called as {expected} is; rename them, or {_MANIFEST}"


def _around(images: str) -> Iterator[str]:
    """The folder above, and those below, the nearest first."""
    yield posixpath.dirname(storage.absolute(images))
    level = [images]
    for _ in range(LEVELS_SEARCHED):
        below: list[str] = []
        for folder in level:
            with suppress(OSError):  # Some may be closed to us.
                below += storage.list_folders(folder)
        level = below[:FOLDERS_SEARCHED]
        yield from level


def _holds(folder: str, wanted: Collection[str]) -> bool:
    with suppress(OSError):
        return any(_stem(uri) in wanted for uri in _pictures(storage.list_files(folder)))
    return False


def _pictures(uris: Sequence[str]) -> Iterator[str]:
    """The files that are called as pictures are."""
    extensions = {extension for known in EXTENSIONS.values() for extension in known}
    return (uri for uri in uris if _extension(uri) in extensions)


def _stem(uri: str) -> str:
    return posixpath.basename(uri).rpartition(".")[0]


def _extension(uri: str) -> str:
    return posixpath.splitext(uri)[1][1:].lower()


def _some(studies: pd.DataFrame) -> str:
    count = studies[INDEX].nunique()
    return f"study {studies[INDEX].iloc[0]}" + (f" and {count - 1} others" if count > 1 else "")
