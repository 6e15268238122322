"""Where the published files are on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from faithkd.data.catalogue import PUBLISHED, SPLITS, Published
from faithkd.data.formats import FORMATS
from faithkd.errors import UserError

VARIABLE = "FAITHKD_DATA"


def where(name: str, split: str | None = None, data_dir: str | Path | None = None) -> Path | None:
    """The folder that holds a published data set's files, or None.

    Searched in this order: `data_dir` alone where it is given; else the folder that `$FAITHKD_DATA` names, the user cache, and the
    folders of system packages. In each, the subfolders of the data set's name and of torchvision's count, and the folder itself unless the
    files in it are another data set's (where file names are the same, the labels tell). split: the one that must be there; None stands for
    both. Raises `UserError` for an unknown name.
    """
    published = known(name)
    holds = FORMATS[published.format].holds
    for folder in places(published, data_dir):
        for candidate in (folder / name, *(folder / inner for inner in published.subfolders), folder):
            if all(holds(candidate, published, part) for part in (SPLITS if split is None else (split,))):
                return candidate
    return None


def known(name: str) -> Published:
    """The published data set of that name. Raises `UserError` when there is none."""
    if name not in PUBLISHED:
        raise UserError(f"unknown data set {name!r}; the published ones are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def cache_folder() -> Path:
    """Where downloads go: the platform's user cache."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "faithkd" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "faithkd"
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return base / "faithkd"


def places(published: Published, data_dir: str | Path | None) -> list[Path]:
    """The folders that are searched, in this order."""
    if data_dir is not None:
        return [Path(data_dir)]
    named = os.environ.get(VARIABLE)
    return [*([Path(named)] if named else []), cache_folder(), *map(Path, published.folders)]
