"""What comes with the package: sample images of each data set, and trained teachers and students."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

SAMPLES = {"mnist-sample": "mnist", "fashion-mnist-sample": "fashion-mnist"}
"""Names of the embedded samples, and the data sets that they are from."""

PAIRS = tuple(
    f"{dataset}-{network}" for dataset in SAMPLES.values() for network in ("teacher", "sd", "ard", "rslad", "fd")
)
"""Names of the embedded networks: for each data set the teacher and a student by each method."""


def sample_path(dataset: str) -> Path:
    """The file with the embedded images of a data set."""
    return _FOLDER / "samples" / f"{dataset}.npz"


def find(name_or_path: str | Path) -> Path:
    """The checkpoint of an embedded network where it is one's name, else the path as it is."""
    return _FOLDER / "pairs" / f"{name_or_path}.safetensors" if str(name_or_path) in PAIRS else Path(name_or_path)
