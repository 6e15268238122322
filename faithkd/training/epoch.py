"""One epoch: a pass over the training images, and the measurements after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from faithkd import interrupts
from faithkd.data import augment
from faithkd.errors import UserError
from faithkd.training.adversaries import Reach, overridden, perturb
from faithkd.training.computing import Computing
from faithkd.training.measuring import measure
from faithkd.training.perturbation import perturbed
from faithkd.training.plan import Images, Plan
from faithkd.training.schedules import growth, rate
from faithkd.training.state import Best, State
from faithkd.training.terms import judgements, student_terms, teacher_terms

Progress = Callable[[int, int, Mapping[str, float]], None]


class Run:
    """One stage of one attempt at a plan, those of a state; `epoch` goes on from the state and leaves its result in it.

    plan: of the stage alone. progress: told of epochs counted from the first stage on, as the seeds are.
    """

    def __init__(self, plan: Plan, images: Images, state: State, progress: Progress | None) -> None:
        self.plan, self.images, self.progress = plan, images, progress
        self.attempt, self.stage = state.attempt, state.stage
        recipe, method = plan.recipe, plan.method
        self.needs = method.inputs(recipe.settings)
        gradients = any(name.endswith("_gradient") for name in self.needs)
        self.computing = Computing.by(recipe, plan.place, gradients)
        network = plan.network(_seed(recipe.seed, self.attempt, 0)).to(plan.place)
        if plan.start is not None:
            network.load_state_dict(dict(plan.start))
        self.reach = _reach(plan, network.std, images.valid_range)
        self.student: nn.Module = self.computing.network(network)
        self.teachers = [self.computing.network(teacher) for teacher in plan.teachers]
        self.optimiser = torch.optim.SGD(
            self.student.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.averager = _averager(self.student, recipe.averaging)
        self.computing.compiled(self.student)
        self.critic, self.critic_optimiser = _critic(plan, self.attempt)

    def epoch(self, state: State) -> None:
        """One pass over the training images."""
        self._take_up(state)
        recipe = self.plan.recipe
        images, labels = self.images.train
        number = self.stage * recipe.epochs + state.epoch + 1
        seed = _seed(recipe.seed, self.attempt, number)
        generator = torch.Generator(self.plan.place).manual_seed(seed)
        order = torch.randperm(len(images), generator=generator, device=self.plan.place)
        batches = torch.split(order, recipe.batch_size)
        world = self.plan.world
        if world.size > 1:
            seed = _seed(recipe.seed, self.attempt, number, world.rank + 1)
            generator.manual_seed(seed)
        total = torch.zeros((), device=self.plan.place)
        # Layers that draw from the global stream, such as dropout, draw the same again after a resume.
        with torch.random.fork_rng(devices=[self.plan.place] if self.plan.place.type == "cuda" else []):
            torch.manual_seed(seed)
            for position, batch in enumerate(batches):
                interrupts.check()
                time = (state.epoch, position / len(batches), state.epoch * len(batches) + position)
                if len(batch) < world.size:  # The rest of the images, too few for a part each.
                    continue
                part = world.part(batch)
                loss = self._step(images[part], labels[part], time, generator, len(part) / len(batch))
                total += loss * len(part)
                if self.progress is not None and position + 1 < len(batches):
                    self.progress(number, position + 1, {"loss": loss.item()})
        world.sum([total])
        world.buffers(self.student)
        self._leave(state, float(total) / len(images))
        if self.progress is not None:
            self.progress(number, len(batches), state.metrics)

    def _step(
        self, images: Tensor, labels: Tensor, time: tuple[int, float, int], generator: torch.Generator, share: float
    ) -> Tensor:
        """One step of the optimiser; the loss of this process's part of the batch, which is `share` of it.

        time: epoch, share of it that has passed, steps before.
        """
        plan, recipe = self.plan, self.plan.recipe
        epoch, passed, steps = time
        if recipe.augment:
            images = augment(images, generator)
        inputs = {"clean": self.computing.images(images)}
        if plan.method.adversary is not None:
            assert recipe.adversary is not None and self.reach is not None
            grown = growth((epoch + passed) / recipe.epochs, recipe.adversary.growth)
            adversary = overridden(plan.method.adversary, recipe.adversary)
            networks = (self.teachers[0] if self.teachers else None, self.student)
            reach = self.reach.of(adversary).scaled(grown)
            with self.computing.autocast():
                inputs["adversarial"] = perturb(adversary, reach, networks, inputs["clean"], labels, generator)
        self.student.train()
        given: dict[str, Any] = {**plan.loss_settings(), "labels": labels}
        if "epoch" in self.needs:
            given["epoch"] = epoch
        latest: dict[str, Tensor] = {}
        with self.computing.autocast():
            given |= teacher_terms(self.needs, self.teachers, inputs, labels, stacked=plan.method.teachers != 1)

            def loss() -> Tensor:
                nonlocal latest
                latest = student_terms(self.needs, self.student, inputs, labels)
                judged = {} if self.critic is None else judgements(self.critic, {**given, **latest})
                return plan.method.loss(**given, **latest, **judged)

            for group in self.optimiser.param_groups:
                group["lr"] = rate(recipe, epoch, passed)
            self.optimiser.zero_grad()
            if recipe.weight_perturbation:
                with perturbed(self.student, lambda: share * loss(), recipe.weight_perturbation, plan.world.sum):
                    value = loss()
                    torch.autograd.backward(value)
            else:
                value = loss()
                torch.autograd.backward(value)
        plan.world.gradients(self.student, share)
        self.optimiser.step()
        if self.averager is not None:
            self.averager.update_parameters(self.student)
        if self.critic is not None and steps % int(plan.option("critic_every")) == 0:
            self._teach_critic({**given, **{name: values.detach() for name, values in latest.items()}}, share)
        return value.detach()

    def _teach_critic(self, terms: Mapping[str, Any], share: float) -> None:
        """One step of the critic on the gradients of this batch."""
        method = self.plan.method
        assert self.critic is not None and self.critic_optimiser is not None and method.critic is not None
        judged = judgements(self.critic, terms)
        self.critic_optimiser.zero_grad()
        torch.autograd.backward(method.critic.loss(judged["judged_teacher"], judged["judged_student"]))
        self.plan.world.gradients(self.critic, share)
        self.critic_optimiser.step()

    def _take_up(self, state: State) -> None:
        """Every epoch is taken up from the state alone, so an interrupted run cannot differ from another."""
        if state.epoch == 0:
            return
        try:
            self.student.load_state_dict(state.trained)
            _restore(self.optimiser, state.optimiser)
            if self.averager is not None:
                self.averager.load_state_dict(state.averager)
            if self.critic is not None and self.critic_optimiser is not None:
                self.critic.load_state_dict(state.critic["weights"])
                _restore(self.critic_optimiser, state.critic["optimiser"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise UserError(
                "the state to resume from does not fit the network or its optimiser; start without resuming"
            ) from error

    def _leave(self, state: State, loss: float) -> None:
        """Measure the epoch and leave everything in the state."""
        recipe = self.plan.recipe
        counted = self.student if self.averager is None else self.averager.module
        counted.eval()
        teacher = self.teachers[0] if self.teachers else None
        with self.computing.autocast():
            measured = self.plan.world.told(
                measure(counted, teacher, self.reach, self.images.held_out, self.images.train[0])
            )
        row = {"stage": state.stage, "epoch": state.epoch + 1, "rate": rate(recipe, state.epoch, 0.0), "loss": loss}
        state.metrics = {"loss": loss, **measured.metrics}
        state.curves = [*state.curves, {**row, **measured.metrics, **measured.curve}]
        state.epoch += 1
        state.trained = _copy(self.student.state_dict())
        state.weights = state.trained if self.averager is None else _copy(counted.state_dict())
        state.optimiser = self.optimiser.state_dict()
        state.averager = {} if self.averager is None else self.averager.state_dict()
        if self.critic is not None and self.critic_optimiser is not None:
            state.critic = {"weights": self.critic.state_dict(), "optimiser": self.critic_optimiser.state_dict()}
        score = state.metrics["score"]
        if math.isfinite(score) and score > state.best.score:
            state.best = Best(state.epoch, score, state.metrics, state.weights)


def _reach(plan: Plan, std: float | list[float], valid_range: tuple[float, float]) -> Reach | None:
    attack = plan.recipe.adversary
    if attack is None:
        return None
    radius, step = attack.in_pixels(std)
    return Reach(radius, step, attack.steps, valid_range if attack.cut else None, attack.attack_mode)


def _restore(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """What an optimiser has gathered. Its settings follow from the recipe. Raises `ValueError` when it does not fit the weights."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimiser.param_groups]
    optimiser.load_state_dict(dict(state))
    for group, own in zip(optimiser.param_groups, settings, strict=True):
        group.update(own)
    for weight, gathered in optimiser.state.items():
        for value in gathered.values():
            if not (value is None or (isinstance(value, Tensor) and (value.ndim == 0 or value.shape == weight.shape))):
                raise ValueError("something gathered is no tensor of the weights' shape")


def _averager(student: nn.Module, share: float) -> AveragedModel | None:
    """Exponential averaging of the weights after every step; running statistics are the student's own."""
    average = get_ema_multi_avg_fn(share)  # type: ignore[no-untyped-call]
    return AveragedModel(student, multi_avg_fn=average) if share else None


def _critic(plan: Plan, attempt: int) -> tuple[nn.Module | None, torch.optim.Optimizer | None]:
    if plan.method.critic is None:
        return None, None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_seed(plan.recipe.seed, attempt, 0))
        critic = plan.method.critic.build(plan.data.image_shape).to(plan.place)
    return critic, torch.optim.Adam(critic.parameters(), lr=plan.option("critic_rate"))


def _seed(*numbers: int) -> int:
    """The seed that follows from the recipe's, the attempt and the epoch (0: of the first weights), and the process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in weights.items()}
