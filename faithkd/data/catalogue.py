"""The data sets that are known by name: their published files, mirrors and statistics."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "test")


@dataclass(frozen=True)
class PublishedFile:
    """One published file: its name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """A published data set.

    files: by split, the images' and the labels' file. sizes: images a split. mean, std: of all training pixels in [0, 1].
    label_digests: by split, the SHA-256 of the labels themselves, which tells data sets with equal file names apart.
    folders: where a system package puts the files.
    """

    name: str
    title: str
    files: dict[str, tuple[PublishedFile, PublishedFile]]
    sizes: dict[str, int]
    label_digests: dict[str, str]
    image_shape: tuple[int, ...]
    classes: int
    mean: float
    std: float
    mirrors: tuple[str, ...]
    folders: tuple[str, ...] = ()


def _idx_files(
    digests: dict[str, tuple[tuple[int, str], tuple[int, str]]],
) -> dict[str, tuple[PublishedFile, PublishedFile]]:
    stems = {"train": "train", "test": "t10k"}
    return {
        split: (
            PublishedFile(f"{stems[split]}-images-idx3-ubyte.gz", *images),
            PublishedFile(f"{stems[split]}-labels-idx1-ubyte.gz", *labels),
        )
        for split, (images, labels) in digests.items()
    }


MNIST = Published(
    name="mnist",
    title="MNIST",
    files=_idx_files(
        {
            "train": (
                (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
                (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            ),
            "test": (
                (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
                (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
            ),
        }
    ),
    sizes={"train": 60000, "test": 10000},
    label_digests={
        "train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    image_shape=(1, 28, 28),
    classes=10,
    mean=0.1307,
    std=0.3081,
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = Published(
    name="fashion-mnist",
    title="Fashion-MNIST",
    files=_idx_files(
        {
            "train": (
                (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            ),
            "test": (
                (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ),
        }
    ),
    sizes={"train": 60000, "test": 10000},
    label_digests={
        "train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    image_shape=(1, 28, 28),
    classes=10,
    mean=0.2860,
    std=0.3530,
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    folders=("/usr/share/dataset-fashion-mnist", "/usr/share/dataset-fashion-mnist/data/fashion"),
)

PUBLISHED = {published.name: published for published in (MNIST, FASHION_MNIST)}
