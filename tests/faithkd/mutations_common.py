"""What the mutators share: a case, ways to damage bytes, and the commands that read a file."""

import gzip
import struct
from dataclasses import dataclass, field
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Case:
    """A command line, relative to the folder of the case, and what is set (or, by None, not set) in its environment."""

    arguments: list[str]
    environment: dict[str, str | None] = field(default_factory=dict)


CERTIFY = ["--images", "2", "--eps", "0.01", "--method", "interval", "--no-report", "--out", "run"]
OTHERS = (
    b"", b"\0" * 5000, b"{}", b"[]", b"\xff" * 100, b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(200), b"\x1f\x8b" + bytes(50),
    b"\x80\x02}.", b"\x93NUMPY\x01\x00", b"\x89HDF\r\n\x1a\n" + bytes(90), b"<!DOCTYPE html>", b"[" * 50_000, b"GGUF", b"\n" * 3000,
    b"version https://git-lfs.github.com/spec/v1\n", gzip.compress(bytes(10**6)), struct.pack("<Q", 2) + b"{}",
    struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 20000) + b"{" * 20000,
)  # fmt: skip
"""What stands in for a whole file."""


def damaged(content: bytes, rng: Random) -> bytes:
    """Some bytes of a file changed, missing, more, or others altogether."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        kind, size = rng.randrange(9), len(data)
        near_the_end = max(0, size - rng.randrange(1, 200))
        place = rng.choice((rng.randrange(size + 1), rng.randrange(min(size, 64) + 1), near_the_end))
        if kind == 0 and place < size:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + rng.randrange(1, 100)]
        elif kind == 3:
            data[place:place] = rng.randbytes(rng.randrange(1, 100))
        elif kind == 4:
            sizes = bytes(8), b"\xff" * 8, b"\xff\xff\xff\x7f", struct.pack("<Q", 2 ** rng.randrange(64))
            data[place : place + 8] = rng.choice(sizes)
        elif kind == 5:
            data[place : place + 1] = bytes([rng.choice((0, 1, 9, 34, 91, 93, 123, 125, 127, 128, 255))])
        elif kind == 6:
            data += data[: rng.randrange(1, 2000)]
        elif kind == 7:
            data[place : place + rng.randrange(200)] = bytes(rng.randrange(200))
        else:
            data = bytearray(rng.choice(OTHERS))
    return bytes(data)


def take(seeds: Path, folder: Path, *names: str) -> None:
    """Copies of seeds."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((seeds / name).read_bytes())


def reading_networks(seeds: Path, folder: Path, rng: Random, *names: str) -> list[str]:
    """A command that reads these networks, one or a pair."""
    take(seeds, folder, "train.npz")
    name = rng.choice(names)
    pair = names if len(names) == 2 else (name, name)
    distil = ["--recipe", "mnist-sd", "--data", "train.npz", "--epochs", "1", "--out", "out.safetensors"]
    return rng.choice(
        (
            ["info", name],
            ["info", name, "--json"],
            ["certify", *pair, *CERTIFY],
            ["certify", *pair, *CERTIFY, "--report"],
            ["evaluate", name, "--data", "mnist-sample", "--images", "3"],
            ["evaluate", *pair, "--data", "mnist-sample", "--images", "3", "--eps", "0.01", "--attack", "pgd-1"],
            ["distill", "sd", "--teacher", name, *distil],
            ["distill", "sd", "--teacher", "mnist-teacher", "--student-from", name, *distil],
        )
    )


def reading_images(seeds: Path, folder: Path, rng: Random, data: str, *more: str) -> list[str]:
    """A command that reads these images."""
    take(seeds, folder, "teacher.safetensors", "student.safetensors", "recipe.toml")
    given = ["--data", data, *more]
    own = data.endswith(".npz")
    if own and rng.random() < 0.2:
        ranges = ("0", "255"), ("-1", "1"), ("0", "2"), ("nan", "1"), ("0", "inf"), ("1", "0")
        given += ["--valid-range", *rng.choice(ranges)]
    certify = ["certify", "teacher.safetensors", "student.safetensors", *given, *CERTIFY]
    evaluate = ["evaluate", "teacher.safetensors", *given, "--images", "2"]
    train = ["train", "recipe.toml", *given, "--epochs", "1", "--out", "out.safetensors"]
    return rng.choice((certify, evaluate, train) if own else (certify, evaluate))
