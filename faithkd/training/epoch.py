"""One epoch: a pass over the training images, and the accuracies on the held-out ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from faithkd.data.catalogue import PUBLISHED
from faithkd.data.records import Dataset
from faithkd.distillation.method import Adversary, Method
from faithkd.models import named
from faithkd.recipes import Recipe
from faithkd.training.adversaries import Reach, perturb
from faithkd.training.schedules import cosine, growth
from faithkd.training.state import Best, State

Progress = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Images:
    """Training and held-out images on their device. chance: the share of the most frequent label among the held-out ones."""

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    chance: float
    valid_range: tuple[float, float]

    @classmethod
    def split(cls, data: Dataset, held_out: int, place: torch.device) -> Images:
        """Hold out `held_out` images, a fifth of all at most; which ones depends on the data's size alone."""
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(data)))
        count = min(held_out, len(data) // 5)
        images, labels = data.images.to(place), data.labels.to(place)
        rest, held = order[count:].to(place), order[:count].to(place)
        chance = torch.bincount(labels[held]).max().item() / count
        return cls((images[rest], labels[rest]), (images[held], labels[held]), chance, data.valid_range)


class Run:
    """One attempt at the recipe, taken up at the state's epoch."""

    def __init__(
        self,
        recipe: Recipe,
        method: Method,
        teacher: nn.Module | None,
        images: Images,
        state: State,
        progress: Progress | None,
    ) -> None:
        self.recipe, self.method, self.images, self.state, self.progress = recipe, method, images, state, progress
        self.place = images.train[0].device
        self.teacher = teacher
        self.reach = _reach(recipe, images.valid_range)
        generator = torch.Generator().manual_seed(_seed(recipe.seed, state.attempt, 0))
        self.student: nn.Module = named(recipe.architecture, generator=generator).to(self.place)
        self.optimiser = torch.optim.SGD(
            self.student.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        if state.epoch:
            self.student.load_state_dict(state.weights)
            self.optimiser.load_state_dict(state.optimiser)

    def epoch(self) -> None:
        """One pass over the training images; leaves its result in the state."""
        recipe, state = self.recipe, self.state
        images, labels = self.images.train
        seed = _seed(recipe.seed, state.attempt, state.epoch + 1)
        generator = torch.Generator(self.place).manual_seed(seed)
        order = torch.randperm(len(images), generator=generator, device=self.place)
        batches = torch.split(order, recipe.batch_size)
        loss = torch.zeros((), device=self.place)
        # Layers that draw from the global stream, such as dropout, draw the same again after a resume.
        with torch.random.fork_rng(devices=[self.place] if self.place.type == "cuda" else []):
            torch.manual_seed(seed)
            for number, batch in enumerate(batches, start=1):
                time = (state.epoch + (number - 1) / len(batches)) / recipe.epochs
                loss = self._step(images[batch], labels[batch], time, generator)
                if self.progress is not None and number < len(batches):
                    self.progress(state.epoch + 1, number, {"loss": loss.item()})
        state.metrics = {"loss": loss.item(), **self._held_out_metrics()}
        state.epoch += 1
        state.weights = _copy(self.student.state_dict())
        state.optimiser = self.optimiser.state_dict()
        score = state.metrics["score"]
        if math.isfinite(score) and score > state.best.score:
            state.best = Best(state.epoch, score, state.metrics, state.weights)
        if self.progress is not None:
            self.progress(state.epoch, len(batches), state.metrics)

    def _step(self, images: Tensor, labels: Tensor, time: float, generator: torch.Generator) -> Tensor:
        """One step of the optimiser at `time` in [0, 1); the batch's loss."""
        recipe, method = self.recipe, self.method
        inputs = {"clean": images}
        if method.adversary is not None:
            assert recipe.adversary is not None and self.reach is not None
            reach = self.reach.scaled(growth(time, recipe.adversary.growth))
            inputs["adversarial"] = perturb(
                method.adversary, reach, (self.teacher, self.student), images, labels, generator
            )
        self.student.train()
        logits = {}
        for need in method.needs:
            network, _, kind = need.partition("_")
            if network == "teacher":
                assert self.teacher is not None
                with torch.no_grad():
                    logits[need] = self.teacher(inputs[kind])
            else:
                logits[need] = self.student(inputs[kind])
        loss = method.loss(**logits, labels=labels, **recipe.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = cosine(time, recipe.learning_rate, recipe.final_learning_rate)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        return loss.detach()

    def _held_out_metrics(self) -> dict[str, float]:
        """Accuracies on the held-out images: clean, and under cross-entropy steps of the recipe's own reach; and their mean."""
        self.student.eval()
        correct, robust = 0, 0
        generator = torch.Generator(self.place).manual_seed(0)
        images, labels = self.images.held_out
        for x, y in zip(torch.split(images, 500), torch.split(labels, 500), strict=True):
            with torch.no_grad():
                correct += int((self.student(x).argmax(dim=1) == y).sum())
            if self.reach is not None:
                attacked = perturb(Adversary(), self.reach, (None, self.student), x, y, generator)
                with torch.no_grad():
                    robust += int((self.student(attacked).argmax(dim=1) == y).sum())
        clean = correct / len(labels)
        if self.reach is None:
            return {"held_out_clean": clean, "score": clean}
        return {
            "held_out_clean": clean,
            "held_out_robust": robust / len(labels),
            "score": (clean + robust / len(labels)) / 2,
        }


def _reach(recipe: Recipe, valid_range: tuple[float, float]) -> Reach | None:
    if recipe.adversary is None:
        return None
    radius, step = recipe.adversary.in_pixels(PUBLISHED[recipe.dataset].std)
    return Reach(radius, step, recipe.adversary.steps, valid_range if recipe.adversary.cut else None)


def _seed(seed: int, attempt: int, epoch: int) -> int:
    """The seed of one epoch's random numbers (epoch 0: of the first weights)."""
    return int(np.random.SeedSequence((seed, attempt, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}
