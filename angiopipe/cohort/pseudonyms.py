"""What a study is called where its Index must not be known."""

from __future__ import annotations

import os
from collections.abc import Iterable

from angiopipe.cohort.deidentify import pseudonym

PSEUDONYM_KEY = "ANGIOPIPE_PSEUDONYM_KEY"
"""The environment variable that holds the key; a parameter would show it to everyone who sees the run."""


def pseudonyms(indices: Iterable[str]) -> dict[str, str]:
    """Each Index's pseudonym.

    Raises:
      ValueError: there is no key, or two studies would get the same pseudonym.
    """
    key = os.environ.get(PSEUDONYM_KEY, "").encode()
    try:
        names = {index: pseudonym(index, key) for index in indices}
    except ValueError as error:
        raise ValueError(f"{PSEUDONYM_KEY}: {error}") from None
    if len(set(names.values())) < len(names):
        raise ValueError(f"two studies have the same pseudonym: choose another {PSEUDONYM_KEY}")
    return names
