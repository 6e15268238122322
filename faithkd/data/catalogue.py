"""The data sets that are known by name: their published files, mirrors and statistics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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

    format: the name of its files' format in `faithkd.data.formats`. files: by split, what is downloaded: the images' and the labels'
    file, or the one archive that holds everything. sizes: images a split. mean, std: of all training pixels in [0, 1], one a channel
    for colour images. label_digests: by split, the SHA-256 of the labels themselves, which tells data sets with equal file names
    apart. folders: where a system package puts the files. subfolders: where torchvision puts them, below the folder it is given.
    """

    name: str
    title: str
    format: str
    files: dict[str, tuple[PublishedFile, ...]]
    sizes: dict[str, int]
    image_shape: tuple[int, ...]
    classes: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    mirrors: tuple[str, ...]
    folders: tuple[str, ...] = ()
    subfolders: tuple[str, ...] = ()
    label_digests: dict[str, str] = field(default_factory=dict)


def _like_mnist(digests: dict[str, tuple[tuple[int, str], tuple[int, str]]], **facts: Any) -> Published:
    """A data set in MNIST's form. digests: by split, size and SHA-256 of the images' and of the labels' file."""
    stems = {"train": "train", "test": "t10k"}
    files: dict[str, tuple[PublishedFile, ...]] = {
        split: (
            PublishedFile(f"{stems[split]}-images-idx3-ubyte.gz", *images),
            PublishedFile(f"{stems[split]}-labels-idx1-ubyte.gz", *labels),
        )
        for split, (images, labels) in digests.items()
    }
    sizes = {"train": 60000, "test": 10000}
    return Published(format="idx", files=files, sizes=sizes, image_shape=(1, 28, 28), classes=10, **facts)


def _one_archive(archive: PublishedFile, **facts: Any) -> Published:
    """A data set that is published as one archive of both splits."""
    return Published(files=dict.fromkeys(SPLITS, (archive,)), **facts)


def _cifar(classes: int, archive: tuple[int, str], **facts: Any) -> Published:
    """CIFAR of so many classes. archive: size and SHA-256 of the binary version's one file."""
    return _one_archive(
        PublishedFile(f"cifar-{classes}-binary.tar.gz", *archive),
        name=f"cifar{classes}",
        title=f"CIFAR-{classes}",
        format="cifar",
        sizes={"train": 50000, "test": 10000},
        image_shape=(3, 32, 32),
        classes=classes,
        mirrors=("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        **facts,
    )


MNIST = _like_mnist(
    {
        "train": (
            (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ),
        "test": (
            (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    },
    name="mnist",
    title="MNIST",
    mean=0.1307,
    std=0.3081,
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    subfolders=("MNIST/raw",),
    label_digests={
        "train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
)

FASHION_MNIST = _like_mnist(
    {
        "train": (
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ),
        "test": (
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    },
    name="fashion-mnist",
    title="Fashion-MNIST",
    mean=0.2860,
    std=0.3530,
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    folders=("/usr/share/dataset-fashion-mnist", "/usr/share/dataset-fashion-mnist/data/fashion"),
    subfolders=("FashionMNIST/raw",),
    label_digests={
        "train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
)

CIFAR10 = _cifar(
    10,
    (170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)

CIFAR100 = _cifar(
    100,
    (168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)

TINY_IMAGENET = _one_archive(
    PublishedFile(
        "tiny-imagenet-200.zip", 248100043, "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
    ),
    name="tiny-imagenet",
    title="Tiny-ImageNet",
    format="tiny-imagenet",
    sizes={"train": 100000, "test": 10000},
    image_shape=(3, 64, 64),
    classes=200,
    mean=(0.4802, 0.4481, 0.3975),
    std=(0.2770, 0.2691, 0.2821),
    mirrors=("http://cs231n.stanford.edu/",),
)

PUBLISHED = {published.name: published for published in (MNIST, FASHION_MNIST, CIFAR10, CIFAR100, TINY_IMAGENET)}
