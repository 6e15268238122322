"""Where the published files are on this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from faithkd.data.catalogue import PUBLISHED, SPLITS, Published
from faithkd.data.idx import read_idx
from faithkd.errors import UserError

VARIABLE = "FAITHKD_DATA"


def where(name: str, split: str | None = None, data_dir: str | Path | None = None) -> Path | None:
    """The folder that holds a published data set's files, or None.

    Searched in this order: `data_dir` alone where it is given; else the folder that `$FAITHKD_DATA` names, the user cache, and the
    folders of system packages. In each, the subfolder of the data set's name counts, and the folder itself unless the files in it
    are another data set's (file names are the same for all of them, so their labels tell). split: the one that must be there;
    None stands for both. Raises `UserError` for an unknown name.
    """
    published = known(name)
    splits = SPLITS if split is None else (split,)
    for folder in places(published, data_dir):
        for candidate in (folder / name, folder):
            if _holds(candidate, published, splits):
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


def file_at(folder: Path, name: str) -> Path | None:
    """The file `name` of a folder, compressed (`.gz`) or not, or None."""
    try:
        return next((path for path in (folder / name, folder / name.removesuffix(".gz")) if path.is_file()), None)
    except OSError:
        return None


def check_labels(published: Published, split: str, labels: bytes, path: Path) -> None:
    """Raise `UserError` when the labels are another published data set's."""
    owner = _owner(labels, split)
    if owner not in (None, published.name):
        raise UserError(f"{path} is a file of {owner}, not of {published.name}; load {owner} or name another folder")


def places(published: Published, data_dir: str | Path | None) -> list[Path]:
    """The folders that are searched, in this order."""
    if data_dir is not None:
        return [Path(data_dir)]
    named = os.environ.get(VARIABLE)
    return [*([Path(named)] if named else []), cache_folder(), *map(Path, published.folders)]


def _holds(folder: Path, published: Published, splits: tuple[str, ...]) -> bool:
    present = all(file_at(folder, file.name) for split in splits for file in published.files[split])
    return present and (folder.name == published.name or not _is_another(folder, published, splits[0]))


def _is_another(folder: Path, published: Published, split: str) -> bool:
    """Are the files another data set's of the same file names. Damaged ones count as the one's own: reading says what is wrong."""
    path = file_at(folder, published.files[split][1].name)
    try:
        return path is not None and _owner(read_idx(path, 1).tobytes(), split) not in (None, published.name)
    except UserError:
        return False


def _owner(labels: bytes, split: str) -> str | None:
    digest = hashlib.sha256(labels).hexdigest()
    return next((name for name, published in PUBLISHED.items() if published.label_digests[split] == digest), None)
