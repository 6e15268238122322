"""Good files of every kind, which mutators damage copies of."""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import torch

import faithkd
from faithkd import recipes
from faithkd.checkpoint import card_for, save
from faithkd.data import load
from faithkd.models import mlp
from faithkd.training import train

RECIPE = """dataset = "mnist"
architecture = "mnist-student"
method = "at"
epochs = 2
learning_rate = 0.05
weight_decay = 0.001
batch_size = 32
settings = {}

[adversary]
radius = 0.01
step = 0.01
steps = 1
"""


class _Stop(Exception):
    pass


def make_seeds(folder: Path) -> None:
    """Write them into an empty folder."""
    for name, hidden, seed in (("teacher", (8, 8), 1), ("student", (6,), 2)):
        model = mlp(hidden, 0.1307, 0.3081, generator=torch.Generator().manual_seed(seed))
        card = card_for(model, dataset="mnist", method="at", seed=seed, recipe={"name": "x", "epochs": 3})
        save(folder / f"{name}.safetensors", model, card)
    torch.save(faithkd.load("mnist-fd").state_dict(), folder / "weights.pt")
    test, training = load("mnist-sample").sample(12, 0), load("mnist-sample", "train").sample(400, 0)
    for name, data in (("own", test), ("train", training)):
        shades = (data.images * 255).round().to(torch.uint8).numpy()
        np.savez_compressed(folder / f"{name}.npz", images=shades, labels=data.labels.numpy())
    _write_mnist(folder / "data" / "mnist")
    _write_cifar(folder / "cifar")
    (folder / "recipe.toml").write_text(RECIPE)
    _write_state(folder)


def _write_mnist(folder: Path) -> None:
    """Test images in MNIST's files: as many as there are, of a few different ones."""
    folder.mkdir(parents=True)
    few = (load("mnist-sample").images[:50, 0] * 255).round().to(torch.uint8).numpy()
    images, labels = np.resize(few, (10_000, 28, 28)), np.resize(np.arange(10, dtype=np.uint8), 10_000)
    for name, array in (("t10k-images-idx3-ubyte.gz", images), ("t10k-labels-idx1-ubyte.gz", labels)):
        head = bytes((0, 0, 8, array.ndim)) + b"".join(struct.pack(">I", size) for size in array.shape)
        (folder / name).write_bytes(gzip.compress(head + array.tobytes(), 1))


def _write_cifar(folder: Path) -> None:
    """CIFAR-10's test batch in an archive of the binary version, and a small one in the Python version's folder."""
    images = np.resize(np.arange(3072, dtype=np.uint8), (10_000, 3072))
    labels = np.resize(np.arange(10, dtype=np.uint8), 10_000)
    content = np.concatenate((labels[:, None], images), axis=1).tobytes()
    (folder / "cifar-10-batches-py").mkdir(parents=True)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    batch = {b"data": images[:100], b"labels": labels[:100].tolist()}
    (folder / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))


def _write_state(folder: Path) -> None:
    """A training that was interrupted in its second epoch."""

    def stop(epoch: int, batch: int, metrics: object) -> None:
        if epoch == 2:
            raise _Stop

    recipe, data = recipes.load(folder / "recipe.toml"), load(folder / "train.npz", "train")
    try:
        train(recipe, data, folder / "net.safetensors", device="cpu", progress=stop)
    except _Stop:
        return
    raise AssertionError("the training was not interrupted")
