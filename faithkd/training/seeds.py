"""The same training under several seeds: means and standard deviations of what the runs reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faithkd.card import Card
from faithkd.data.records import Dataset
from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.recipes import Recipe
from faithkd.training.loop import Say, train
from faithkd.training.outcome import Trained

MEASURED = ("held_out_clean", "held_out_robust")


@dataclass(frozen=True)
class Seeds:
    """The runs by seed, and the held-out accuracies over them, of best and last epochs: `{"best": {"held_out_clean": (mean, std)}}`.

    The standard deviation is that of a sample (n - 1), 0 for one seed.
    """

    runs: Mapping[int, Trained]
    statistics: Mapping[str, Mapping[str, tuple[float, float]]]


def train_seeds(
    recipe: Recipe,
    data: Dataset,
    out: str | Path,
    seeds: Sequence[int],
    *,
    say: Say = lambda message: None,
    **options: Any,
) -> Seeds:
    """Train once a seed, `OUT.seed-N.safetensors` each, and write what they reached together to `OUT.seeds.json`.

    options: of `train`. Raises what `train` raises.
    """
    if wrong := [seed for seed in seeds if not 0 <= seed < 2**63]:
        raise UserError(f"seeds must be from 0 to 2^63 - 1, but one is {wrong[0]}; choose others")
    out = Path(out)
    runs = {}
    for seed in seeds:
        say(f"seed {seed}")
        path = out.with_suffix(f".seed-{seed}.safetensors")
        runs[seed] = train(replace(recipe, seed=seed), data, path, say=say, **options)
    reached = {
        "best": _over([run.card for run in runs.values()]),
        "last": _over([run.last_card for run in runs.values()]),
    }
    with atomic(out.with_suffix(".seeds.json")) as file:
        file.write((json.dumps({"recipe": recipe.name, "seeds": list(seeds), **reached}, indent=1) + "\n").encode())
    return Seeds(runs, reached)


def _over(cards: Sequence[Card]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each accuracy that all cards have."""
    values = {name: [card.metrics[name] for card in cards] for name in MEASURED if name in cards[0].metrics}
    return {name: (statistics.fmean(of), statistics.stdev(of) if len(of) > 1 else 0.0) for name, of in values.items()}
