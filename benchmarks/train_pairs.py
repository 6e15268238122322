"""Train the embedded networks by their recipes, measure them, and write their README.

    python benchmarks/train_pairs.py                       # all ten, into runs/pairs
    python benchmarks/train_pairs.py mnist --threads 2     # one data set
    python benchmarks/train_pairs.py --embed               # and put them into faithkd/embedded/pairs

Needs the full data (`FAITHKD_DATA`, or a download). A stopped run continues where it was. The embedded networks are frozen:
benchmarks rest on them, so `--embed` refuses to replace one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from paper import AGREEMENT, CLEAN, RADII, ROBUST_ACCURACY
from torch import nn

from faithkd import checkpoint, data, recipes
from faithkd.card import Card, read_card
from faithkd.embedded import PAIRS, pair_path
from faithkd.metrics import accuracy, decisions, empirical_agreement, robust_accuracy
from faithkd.training import train

NETWORKS = ("teacher", "sd", "ard", "rslad", "fd")
REGIONS = {"cut": (0.0, 1.0), "whole": None}
SAMPLE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=list(RADII), help="mnist, fashion-mnist (default: both)")
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto; the embedded networks are from the CPU")
    parser.add_argument("--embed", action="store_true", help="copy networks that are not embedded yet, write their README")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for dataset in options.datasets:
        for network in NETWORKS:
            name = f"{dataset}-{network}"
            trained_network(name, options.out, options.device)
            if options.embed:
                embed(name, options.out)
    if options.embed:
        text = readme({name: read_card(pair_path(name)) for name in PAIRS})
        pair_path(PAIRS[0]).with_name("README.md").write_text(text, encoding="utf-8")


def trained_network(name: str, folder: Path, device: str) -> None:
    """Train one network to `folder/raw`, measure it, and save it with the measurements on its card to `folder`."""
    out = folder / f"{name}.safetensors"
    if out.exists():
        return
    dataset = name.rpartition("-")[0]
    teacher = None if name.endswith("-teacher") else folder / f"{dataset}-teacher.safetensors"
    images = data.load(dataset, "train")

    def progress(epoch: int, batch: int, metrics: Any) -> None:
        if len(metrics) > 1:
            print(name, "epoch", epoch, {key: round(value, 4) for key, value in metrics.items()}, flush=True)

    raw = train(
        recipes.load(name),
        images,
        folder / "raw" / out.name,
        teacher=teacher,
        device=device,
        resume=True,
        progress=progress,
        say=print,
    )
    model = checkpoint.load(raw.best).requires_grad_(False)
    against = None if teacher is None else checkpoint.load(teacher).requires_grad_(False)
    card = replace(raw.card, metrics={**raw.card.metrics, **measured(model, against, dataset)})
    checkpoint.save(out, model, card)
    print(name, card.metrics, flush=True)


def measured(model: nn.Module, teacher: nn.Module | None, dataset: str) -> dict[str, Any]:
    """Accuracies on the test images, as shares: clean on all, the rest on the 1,000 images of `sample(1000, seed=0)`.

    By radius: every iterate of the attack counted, and the last one alone.
    """
    test = data.load(dataset)
    images, labels = test.sample(SAMPLE, seed=0)
    std = recipes_std(dataset)
    result: dict[str, Any] = {
        "test_clean": accuracy(model, *test),
        "sample_clean": accuracy(model, images, labels),
        "test_robust": {
            region: robust_accuracy(model, *test, training_radius(dataset) * std, valid_range=cut).shares()
            for region, cut in REGIONS.items()
        },
    }
    result["sample_robust"] = {
        region: {
            label: robust_accuracy(model, images, labels, radius * std, valid_range=cut).shares()
            for label, radius in RADII[dataset].items()
        }
        for region, cut in REGIONS.items()
    }
    if teacher is not None:
        result["sample_agreement_clean"] = (decisions(teacher, images) == decisions(model, images)).double().mean().item()
        result["sample_agreement"] = {
            region: {
                label: empirical_agreement(teacher, model, images, radius * std, valid_range=cut).shares()
                for label, radius in RADII[dataset].items()
            }
            for region, cut in REGIONS.items()
        }
    return result


def recipes_std(dataset: str) -> float:
    """The std that makes a normalised radius one in pixels."""
    std: float = PUBLISHED[dataset].std
    return std


def training_radius(dataset: str) -> float:
    """The radius that the teacher was trained at, normalised."""
    adversary = recipes.load(f"{dataset}-teacher").adversary
    assert adversary is not None
    return adversary.radius


def embed(name: str, folder: Path) -> None:
    """Copy a network into the package, unless it is there."""
    source, place = folder / f"{name}.safetensors", pair_path(name)
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(source.read_bytes())
    elif place.read_bytes() != source.read_bytes():
        sys.exit(f"{place} is frozen and differs from {source}; nothing was replaced")


def readme(cards: dict[str, Card]) -> str:
    """The README of the embedded networks, from their cards."""
    parts = [INTRODUCTION]
    for dataset in RADII:
        own = {network: cards[f"{dataset}-{network}"] for network in NETWORKS}
        parts += [f"## {TITLES[dataset]}\n", "### Settings\n", settings_table(own), ROBUST, robust_table(dataset, own)]
        parts += [AGREE, agreement_table(dataset, own)]
    return "\n".join(parts)


def settings_table(cards: dict[str, Card]) -> str:
    rows = []
    for network, card in cards.items():
        r: Any = card.recipe
        settings = ", ".join(f"{key} {value:g}" for key, value in r["settings"].items()) or "-"
        attack = r["adversary"]
        adversary = "-"
        if attack:
            cut = "cut" if attack["cut"] else "not cut"
            adversary = f"{attack['steps']} x {attack['step']:.4g}, radius {attack['radius']:.4g}, {cut}"
        rate = f"{r['learning_rate']:g} to {r['final_learning_rate']:g}"
        best = f"{card.metrics['epoch']} of {r['epochs']}"
        widths = "-".join(map(str, card.architecture["arguments"]["hidden"]))
        rows.append(
            [network, widths, card.method, best, r["batch_size"], rate, f"{r['weight_decay']:g}", settings, adversary,
             f"{card.seed} ({card.metrics['attempts']})"]
        )  # fmt: skip
    head = ["network", "hidden", "method", "best epoch", "batch", "rate", "weight decay", "settings", "adversary", "seed (attempts)"]
    return table(head, rows)


def robust_table(dataset: str, cards: dict[str, Card]) -> str:
    rows = []
    for network, card in cards.items():
        m = card.metrics
        rows.append([network, "paper", f"{CLEAN[dataset][network]:.2f}", *ROBUST_ACCURACY[dataset][network]])
        for region in REGIONS:
            cells = [percent(m["sample_clean"]), *map(both, m["sample_robust"][region].values())]
            rows.append([network, region, f"{100 * m['test_clean']:.2f}", *cells])
    return table(["network", "region", "clean, all", "0", *RADII[dataset]], rows)


def agreement_table(dataset: str, cards: dict[str, Card]) -> str:
    rows = []
    for network, card in cards.items():
        if network == "teacher":
            continue
        m = card.metrics
        rows.append([network, "paper", *AGREEMENT[dataset][network]])
        for region in REGIONS:
            cells = [percent(m["sample_agreement_clean"]), *map(both, m["sample_agreement"][region].values())]
            rows.append([network, region, *cells])
    return table(["student", "region", "0", *RADII[dataset]], rows)


def both(shares: dict[str, float]) -> str:
    """Every iterate counted; the last alone in brackets where it differs."""
    every, last = percent(shares["every"]), percent(shares["last"])
    return every if every == last else f"{every} ({last})"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def table(head: list[str], rows: Iterable[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
INTRODUCTION = """# The embedded networks

For each data set a teacher and four students, trained on the full training split (5,000 of its images held out to choose the best epoch)
by the recipes in `faithkd/recipes` with `benchmarks/train_pairs.py`, which wrote this page from the networks' cards. They are frozen:
benchmarks rest on them as they are. `faithkd.load("mnist-fd")` loads one, `faithkd info mnist-fd` shows its card.

Percentages. Radii in normalised units (pixel radius over 0.3081 for MNIST, 0.3530 for Fashion-MNIST). "clean, all" is on all 10,000 test
images (the paper's column: the accuracies of its text), everything else on 1,000: here those of `sample(1000, seed=0)`, in the
paper others that it does not name; one image is 0.1 points, and two samples of 1,000 differ by 0.5 to 1.2 points from chance
alone. "cut": regions cut with the range of valid pixels, "whole": not cut; the paper does not say which it used. Attack: 50 steps of
2.5 eps / 50 from one uniform start, every iterate counted; where the last iterate alone gives another number, it stands in brackets.
"""
ROBUST = "### Robust accuracy beside the paper's Table 1\n"
AGREE = "### Empirical agreement with the teacher beside the paper's Table 1\n"


if __name__ == "__main__":
    main()
