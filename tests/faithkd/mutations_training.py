"""Recipes and training states of others."""

from pathlib import Path
from random import Random

import torch

from faithkd.torch_files import read_sealed, save_sealed
from tests.faithkd.mutations_common import Case, damaged, take
from tests.faithkd.mutations_seeds import RECIPE

VALUES = (
    "nan", "inf", "-1", "0", "1e400", "9" * 400, "true", '"x"', "[]", "[1]", "{}", "1979-05-27", "'''", "[" * 3000, '"\\u0000"', "0.5",
    "-0.0",
    '"mnist-fd"', "1", "2", "0.1",
)  # fmt: skip
NAMES = (
    "x",
    "a.b",
    "seed",
    "momentum",
    "milestones",
    "augment",
    "compile",
    "source",
    "held_out",
    "averaging",
    "dropout",
    "schedule",
)
LINES = (
    "base = 'recipe.toml'",
    "base = 'mnist-sd'",
    "base = 3",
    "[settings]",
    "[adversary]",
    "[[adversary]]",
    "[x]",
    "=",
)


def recipes_of_others(seeds: Path, folder: Path, rng: Random) -> Case:
    """A recipe with other values, lines, bytes or bases."""
    take(seeds, folder, "train.npz")
    lines = RECIPE.splitlines()
    for _ in range(rng.choice((1, 1, 1, 2))):
        place, kind = rng.randrange(len(lines)), rng.randrange(6)
        name = lines[place].partition(" = ")[0]
        if kind < 3 and name and not name.startswith("["):
            lines[place] = f"{name} = {rng.choice(VALUES)}"
        elif kind == 3 and len(lines) > 1:
            del lines[place]
        elif kind == 4:
            lines.insert(
                place, rng.choice((f"{rng.choice(NAMES)} = {rng.choice(VALUES)}", rng.choice(LINES), lines[place]))
            )
        else:
            lines[place] = damaged(lines[place].encode("utf-8", "surrogateescape"), rng).decode(
                "utf-8", "surrogateescape"
            )
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    (folder / "recipe.toml").write_bytes(damaged(content, rng) if rng.random() < 0.1 else content)
    given = ["--data", "train.npz", "--out", "out.safetensors", *(["--epochs", "1"] if rng.random() < 0.8 else [])]
    distil = ["distill", "sd", "--teacher", "mnist-teacher", "--recipe", "recipe.toml"]
    return Case([*rng.choice((["train", "recipe.toml"], ["train", "recipe.toml"], distil)), *given])


def states_of_others(seeds: Path, folder: Path, rng: Random) -> Case:
    """A training state with damaged bytes, or changed by somebody who knows the format."""
    take(seeds, folder, "net.state", "train.npz", "recipe.toml")
    path = folder / "net.state"
    if rng.random() < 0.4:
        path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        values = read_sealed(path)
        for _ in range(rng.choice((1, 1, 2))):
            where, key = values, rng.choice(list(values))
            while isinstance(where[key], dict) and where[key] and rng.random() < 0.8:
                where, key = where[key], rng.choice(list(where[key]))
            tensors = torch.zeros(3), torch.zeros(0), torch.tensor(7), torch.tensor(float("nan"))
            where[key] = rng.choice(
                (None, 0, -1, 2, 3, 10**9, 10**30, 0.5, float("nan"), "x", [], {}, [1], {"a": 1}, True, *tensors)
            )
        save_sealed(path, values)
    return Case(["train", "recipe.toml", "--data", "train.npz", "--out", "net.safetensors", "--resume"])
