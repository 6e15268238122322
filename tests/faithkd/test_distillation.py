"""The losses against formulas in NumPy and values worked out by hand, their gradients and adversaries against finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from faithkd import UserError, distillation
from faithkd.distillation import METHODS, TEACHERS, Adversary, Method, adversarial_objective, kl
from faithkd.distillation.igam import critic, critic_loss
from faithkd.distillation.method import INPUTS
from faithkd.imports import load_module
from faithkd.training.terms import judgements, student_terms, teacher_terms

Arrays = dict[str, Any]
EVERY = TEACHERS | METHODS
rng = np.random.default_rng(3)
BATCH, CLASSES, SHAPE = 7, 5, (2, 3, 3)
LABELS = rng.integers(0, CLASSES, BATCH)
GIVEN: Arrays = {
    **{f"{who}_{at}": rng.normal(0, 3, (BATCH, CLASSES)) for who in ("teacher", "student") for at in ("clean", "adversarial")},
    **{
        f"{who}_{at}_gradient": rng.normal(0, 1, (BATCH, *SHAPE))
        for who in ("teacher", "student")
        for at in ("clean", "adversarial")
    },
    "judged_teacher": rng.normal(0, 2, BATCH),
    "judged_student": rng.normal(0, 2, BATCH),
    "epoch": 70,
}  # fmt: skip
SECOND = rng.normal(0, 3, (2, BATCH, CLASSES))
"""The logits of a second teacher, clean and adversarial."""


def softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def divergences(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """`KL(p || q)` of each row; terms with p = 0 are 0."""
    return np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0), axis=1)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.mean(divergences(p, q)))


def surprise(z: np.ndarray) -> float:
    return float(-np.mean(np.log(softmax(z)[np.arange(len(z)), LABELS])))


def hard() -> np.ndarray:
    return np.eye(CLASSES)[LABELS]


def distance(v: Arrays, at: str, reduction: str) -> float:
    d = v[f"student_{at}_gradient"] - v[f"teacher_{at}_gradient"]
    squares = np.sum(d**2, axis=(1, 2, 3))
    return float(np.mean(np.sqrt(squares)) if reduction == "image" else np.sqrt(np.sum(squares)) / BATCH)


def alike(v: Arrays, teacher: str, student: str, t: float) -> float:
    return t * t * divergence(softmax(v[teacher] / t), softmax(v[student] / t))


def rslad(v: Arrays, alpha: float, temperature: float, mixing: float, adv: str, clean: str) -> float:
    t = temperature

    def term(asked: str, student: str) -> float:
        target = mixing * softmax(v[f"teacher_{asked}"] / t) + (1 - mixing) * hard()
        return divergence(target, softmax(v[student] / t))

    return t * t * (alpha * term(adv, "student_adversarial") + (1 - alpha) * term(clean, "student_clean"))


def akd(v: Arrays, a: float, b: list[float]) -> float:
    ensemble = b[0] * softmax(v["teacher_adversarial"]) + b[1] * softmax(SECOND[1])
    target = a * ensemble + (1 - a) * hard()
    return float(-np.mean(np.sum(target * np.log(softmax(v["student_adversarial"])), axis=1)))


def iad_1(v: Arrays, a: float, t: float, beta: float, gamma: Any, warm: bool, down: bool) -> float:
    w = np.ones(BATCH) if warm else softmax(v["teacher_adversarial"])[np.arange(BATCH), LABELS] ** beta
    g = 1 - w if gamma == "1 - w" else gamma
    teacher = t * t * divergences(softmax(v["teacher_clean"] / t), softmax(v["student_adversarial"] / t))
    itself = divergences(softmax(v["student_clean"]), softmax(v["student_adversarial"]))
    return a * surprise(v["student_clean"]) + (1 - a) * float(np.mean((w if down else 1) * teacher + g * itself))


def iad_2(v: Arrays, weights: tuple[float, float, float], t: float, beta: float, gamma: Any, warm: bool) -> float:
    w = np.ones(BATCH) if warm else softmax(v["teacher_adversarial"])[np.arange(BATCH), LABELS] ** beta
    g = 1 - w if gamma == "1 - w" else gamma
    s = softmax(v["student_adversarial"] / t)
    robust = w * divergences(softmax(v["teacher_adversarial"] / t), s)
    itself = g * divergences(softmax(v["student_clean"] / t), s)
    standard = divergences(softmax(SECOND[1] / t), s)
    one, two, three = weights
    return one * surprise(v["student_adversarial"]) + t * t * float(np.mean(two * (robust + itself) + three * standard))


def kdiga(
    v: Arrays, s: tuple[float, float, float], t: float, red: str, ce: str, pair: tuple[str, str], at: str
) -> float:
    a, b, c = s
    return (
        a * surprise(v[f"student_{ce}"])
        + b * alike(v, f"teacher_{pair[0]}", f"student_{pair[1]}", t)
        + c * distance(v, at, red)
    )


def igam(v: Arrays, b: float, g: float, share: float) -> float:
    def entropy(z: np.ndarray, right: float) -> float:
        p = 1 / (1 + np.exp(-z))
        return float(-np.mean(right * np.log(p) + (1 - right) * np.log(1 - p)))

    told = (entropy(v["judged_teacher"], 1.0) + entropy(v["judged_student"], 0.0)) / 2
    squares = np.sum((v["student_clean_gradient"] - v["teacher_clean_gradient"]) ** 2, axis=(1, 2, 3))
    return surprise(v["student_clean"]) - b * told + g * share * float(np.mean(squares))


TC, TA, SC, SA = "teacher_clean", "teacher_adversarial", "student_clean", "student_adversarial"
ADV = "adversarial"
KD = {"label_weight": 0.3, "alpha": 0.6, "gradient_weight": 2.0, "temperature": 3.0}
W3 = {"label_weight": 0.2, "robust_weight": 0.7, "standard_weight": 0.4}
CASES: list[tuple[str, Arrays, Callable[[Arrays], float]]] = [
    ("st", {}, lambda v: surprise(v[SC])),
    ("at", {}, lambda v: surprise(v[SA])),
    ("at-ffgsm", {}, lambda v: surprise(v[SA])),
    ("trades", {"beta": 4.0}, lambda v: surprise(v[SC]) + 4 * alike(v, SC, SA, 1)),
    ("sd", {"alpha": 0.3, "temperature": 4.0}, lambda v: 0.3 * alike(v, TC, SC, 4) + 0.7 * surprise(v[SC])),
    ("sd", {"alpha": 1.0, "kl_reduction": "mean"}, lambda v: alike(v, TC, SC, 4) / CLASSES),
    ("ard", {}, lambda v: alike(v, TC, SA, 30)),
    ("ard", {"alpha": 0.5, "temperature": 2.0}, lambda v: 0.5 * alike(v, TC, SA, 2) + 0.5 * surprise(v[SC])),
    ("fd", {"alpha": 0.9}, lambda v: 0.9 * alike(v, TA, SA, 2) + 0.1 * surprise(v[SC])),
    ("rslad", {}, lambda v: rslad(v, 5 / 6, 1, 1, "clean", "clean")),
    ("rslad", {"alpha": 0.5, "temperature": 2.0, "mixing": 0.8}, lambda v: rslad(v, 0.5, 2, 0.8, "clean", "clean")),
    ("rslad", {"mixing": 0.0}, lambda v: rslad(v, 5 / 6, 1, 0, "clean", "clean")),
    ("rslad", {"teacher_input": "adversarial"}, lambda v: rslad(v, 5 / 6, 1, 1, "adversarial", "clean")),
    ("rslad", {"teacher_input": "adversarial", "clean_term_teacher_input": "adversarial"}, lambda v: rslad(v, 5 / 6, 1, 1, ADV, ADV)),
    ("akd", {}, lambda v: akd(v, 0.5, [0.5, 0.5])),
    ("akd", {"mixing": 0.9, "weights": [0.2, 0.8]}, lambda v: akd(v, 0.9, [0.2, 0.8])),
    ("akd2", {**W3, "temperature": 2.0}, lambda v: iad_2(v, (0.2, 0.7, 0.4), 2, 0, 0, True)),
    ("iad-1", {}, lambda v: iad_1(v, 0, 1, 0.1, "1 - w", False, False)),
    ("iad-1", {"alpha": 0.2, "temperature": 2.0, "beta": 0.5, "warm_up": 71}, lambda v: iad_1(v, 0.2, 2, 0.5, "1 - w", True, False)),
    ("iad-1", {"alpha": 0.2, "temperature": 2.0, "beta": 0.5, "gamma": 0.7}, lambda v: iad_1(v, 0.2, 2, 0.5, 0.7, False, False)),
    ("iad-1-down", {"beta": 0.5}, lambda v: iad_1(v, 0, 1, 0.5, "1 - w", False, True)),
    ("iad-2", {**W3, "temperature": 2.0}, lambda v: iad_2(v, (0.2, 0.7, 0.4), 2, 0.1, "1 - w", False)),
    ("iad-2", {"warm_up": 80}, lambda v: iad_2(v, (0.25, 0.5, 0.25), 1, 0.1, "1 - w", True)),
    ("iad-2", {"gamma": 0.0, "beta": 0.5}, lambda v: iad_2(v, (0.25, 0.5, 0.25), 1, 0.5, 0.0, False)),
    ("kdiga", {}, lambda v: kdiga(v, (0.5, 0.5, 1), 1, "image", "clean", ("clean", "clean"), "clean")),
    ("kdiga", {**KD, "iga_reduction": "batch"}, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "batch", "clean", ("clean", "clean"), "clean")),
    ("kdiga-fgsm", KD, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "image", "adversarial", (ADV, ADV), "adversarial")),
    ("kdiga-ard-c", KD, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "image", "clean", ("clean", "adversarial"), "clean")),
    ("kdiga-ard-a", KD, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "image", "clean", (ADV, ADV), "adversarial")),
    ("isd-wot", KD, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "image", "clean", ("clean", "clean"), "clean")),
    ("isd-wit", KD, lambda v: kdiga(v, (0.3, 0.6, 2), 3, "image", "clean", ("clean", "clean"), "clean")),
    ("igam", {}, lambda v: igam(v, 5, 10, 1 / BATCH)),
    ("igam", {"critic_weight": 2.0, "gradient_weight": 0.5, "iga_reduction": "image"}, lambda v: igam(v, 2, 0.5, 1)),
]  # fmt: skip


def given(method: Method, settings: Arrays, requires_grad: bool = False) -> Arrays:
    """The inputs of a loss as tensors; methods of several teachers are given two."""
    found: Arrays = {}
    for name in method.inputs(settings):
        value = GIVEN[name]
        if name.startswith("teacher") and method.teachers in (2, None):
            value = np.stack((value, SECOND[int(name.endswith("adversarial"))]))
        found[name] = value if name == "epoch" else torch.tensor(value, requires_grad=requires_grad)
    return found


@pytest.mark.parametrize(("name", "settings", "formula"), CASES)
def test_a_loss_is_its_formula(name: str, settings: Arrays, formula: Callable[[Arrays], float]) -> None:
    method = EVERY[name]
    loss = method.loss(**given(method, settings), labels=torch.tensor(LABELS), **settings)
    assert loss.item() == pytest.approx(formula(GIVEN), rel=1e-10)


def test_every_loss_has_a_formula_here() -> None:
    assert {name for name, _, _ in CASES} == set(EVERY)


HALF, QUARTER = torch.tensor([[0.0, 0.0]]), torch.tensor([[log(3.0), 0.0]])
"""Softmax outputs (1/2, 1/2) and (3/4, 1/4)."""
ZERO, ONE = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
INTROSPECTED = {TC: HALF, TA: HALF, SC: HALF, SA: QUARTER, "epoch": 60}
UNDECIDED = {"judged_teacher": torch.zeros(1), "judged_student": torch.zeros(1)}
TO_HALF = 0.75 * log(3 / 2) + 0.25 * log(1 / 2)  # KL((3/4, 1/4) || (1/2, 1/2))
TO_QUARTER = 0.5 * log(2 / 3) + 0.5 * log(2)  # and the other way round


@pytest.mark.parametrize(
    ("name", "inputs", "settings", "value"),
    [
        ("sd", {TC: QUARTER, SC: HALF}, {"temperature": 1.0}, 0.5 * TO_HALF + 0.5 * log(2)),
        # Logits (2 ln 3, 0) at temperature 2 are (ln 3, 0).
        ("ard", {TC: 2 * QUARTER, SA: HALF, SC: HALF}, {"temperature": 2.0}, 4 * TO_HALF),
        ("trades", {SC: HALF, SA: QUARTER}, {}, log(2) + 6 * TO_QUARTER),
        # Target 1/2 (3/4, 1/4) + 1/2 (1, 0).
        ("akd", {TA: QUARTER[None], SA: QUARTER}, {}, -7 / 8 * log(3 / 4) - 1 / 8 * log(1 / 4)),
        # KL((1, 0) || (1/2, 1/2)) in both terms.
        ("rslad", {TC: QUARTER, SC: HALF, SA: HALF}, {"mixing": 0.0}, log(2)),
        # w = (1/2)^2, so KL + 3/4 KL.
        ("iad-1", {**INTROSPECTED, TC: QUARTER, SA: HALF}, {"beta": 2.0}, TO_HALF),
        ("iad-1", INTROSPECTED, {"beta": 2.0}, 1.75 * TO_QUARTER),
        ("iad-1-down", INTROSPECTED, {"beta": 2.0}, TO_QUARTER),
        # Four differences of 1: a norm of 2.
        ("kdiga", {TC: HALF, SC: HALF, f"{TC}_gradient": ZERO, f"{SC}_gradient": ONE}, {}, 0.5 * log(2) + 2),
        ("igam", {SC: HALF, f"{SC}_gradient": ONE, f"{TC}_gradient": ZERO, **UNDECIDED}, {}, log(2) - 5 * log(2) + 40),
    ],
)  # fmt: skip
def test_a_loss_worked_out_by_hand(name: str, inputs: Arrays, settings: Arrays, value: float) -> None:
    assert EVERY[name].loss(**inputs, labels=torch.tensor([0]), **settings).item() == pytest.approx(value, rel=1e-6)


def test_the_norm_of_a_batch_against_the_mean_of_norms() -> None:
    """Four images whose gradients differ by norm 2: their mean is 2, the norm over the batch sqrt(4 * 4) = 4 times 1/4."""
    inputs = {"teacher_clean": HALF.repeat(4, 1), "student_clean": HALF.repeat(4, 1)}
    gradients = {"teacher_clean_gradient": ZERO.repeat(4, 1, 1, 1), "student_clean_gradient": ONE.repeat(4, 1, 1, 1)}
    for reduction, value in (("image", 2.0), ("batch", 1.0)):
        loss = METHODS["kdiga"].loss(
            **inputs, **gradients, labels=torch.zeros(4, dtype=torch.int64), iga_reduction=reduction
        )
        assert loss.item() == pytest.approx(0.5 * log(2) + value)


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_teaches_the_student_and_not_the_teacher(name: str) -> None:
    method = EVERY[name]
    inputs = given(method, {}, requires_grad=True)
    settings = {"alpha": 0.5} if "alpha" in method.defaults else {}
    method.loss(**inputs, labels=torch.tensor(LABELS), **settings).backward()
    for key, values in inputs.items():
        if key != "epoch" and not key.startswith("judged"):
            assert (values.grad is None) == key.startswith("teacher"), key


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_says_all_that_it_takes(name: str) -> None:
    """Nothing can be given in vain: neither a setting that the method does not know, nor an input that it does not need."""
    method, labels = EVERY[name], torch.tensor(LABELS)
    assert set(method.needs) <= set(INPUTS) and "labels" in inspect.signature(method.loss).parameters
    for vain in ("teacher_seen_elsewhere", "weigth"):
        with pytest.raises(TypeError):
            method.loss(**given(method, {}), labels=labels, **{vain: 1.0})


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, {"teacher_clean"}),
        ({"teacher_input": "adversarial"}, {"teacher_clean", "teacher_adversarial"}),
        ({"teacher_input": "adversarial", "clean_term_teacher_input": "adversarial"}, {"teacher_adversarial"}),
    ],
)
def test_a_loss_asks_the_teacher_where_its_settings_say(settings: Arrays, asked: set[str]) -> None:
    assert set(METHODS["rslad"].inputs(settings)) == asked | {"student_clean", "student_adversarial"}


def test_a_method_needs_what_its_loss_cannot_do_without() -> None:
    def loss(student_clean: torch.Tensor, *, labels: torch.Tensor, epoch: int = 0, weight: float = 2.0) -> torch.Tensor:
        return weight * student_clean.mean()

    method = replace(METHODS["sd"], loss=loss)
    assert (method.needs, method.defaults, method.inputs({})) == (
        ("student_clean",),
        {"weight": 2.0},
        ("student_clean",),
    )
    method = replace(method, asks=lambda settings: ["epoch"] if settings["weight"] > 1 else [])
    assert (method.inputs({}), method.inputs({"weight": 0.5})) == (("student_clean", "epoch"), ("student_clean",))


def test_the_settings_of_the_papers() -> None:
    iad = {"temperature": 1.0, "beta": 0.1, "gamma": "1 - w", "kl_reduction": "batchmean"}
    three = {"label_weight": 0.25, "robust_weight": 0.5, "standard_weight": 0.25}
    for name, settings in {
        "sd": {"alpha": 0.5, "temperature": 4.0},
        "ard": {"alpha": 1.0, "temperature": 30.0},
        "rslad": {"alpha": 5 / 6, "temperature": 1.0, "mixing": 1.0},
        "fd": {"alpha": 0.5, "temperature": 2.0},
        "akd2": {**three, "temperature": 1.0},
        "iad-1": {**iad, "alpha": 0.0, "warm_up": 60},
        "iad-2": {**iad, **three, "warm_up": 40},
        "kdiga": {"label_weight": 0.5, "alpha": 0.5, "gradient_weight": 1.0, "iga_reduction": "image"},
        "igam": {"critic_weight": 5.0, "gradient_weight": 10.0},
        "trades": {"beta": 6.0},
    }.items():
        assert EVERY[name].defaults.items() >= settings.items()
    assert METHODS["isd-wot"].options == {"loops": 6, "later_rate": 0.01}
    assert METHODS["igam"].options["critic_every"] == 5


def test_kl_is_zero_for_equal_and_finite_for_extreme_logits() -> None:
    z = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    assert torch.equal(kl(z, z), torch.zeros(2))
    assert torch.isfinite(kl(z, -z)).all()


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def value_at(
    method: Method,
    student: nn.Module,
    inputs: dict[str, torch.Tensor],
    labels: torch.Tensor,
    held: Arrays | None = None,
) -> torch.Tensor:
    """The loss of a student from two networks, from the images on; `held` terms stand in place of the student's own."""
    teachers = [network(1), network(3)][: method.teachers or 0]
    needs = method.inputs({})
    terms = {
        **teacher_terms(needs, teachers, inputs, labels, stacked=len(teachers) > 1),
        **student_terms(needs, student, inputs, labels),
    }
    if "judged_teacher" in needs:
        terms |= judgements(JUDGE, terms)
    if "epoch" in needs:
        terms["epoch"] = 100
    loss: torch.Tensor = method.loss(**{**terms, **(held or {})}, labels=labels)
    return loss


with torch.random.fork_rng():
    torch.manual_seed(0)
    JUDGE = critic((1, 2, 3)).double()
DIFFERENTIATED = ["kdiga", "kdiga-fgsm", "kdiga-ard-c", "kdiga-ard-a", "igam", "iad-1", "iad-2", "trades", "rslad"]


def differences(f: Callable[[], float], weight: torch.Tensor) -> torch.Tensor:
    """Central differences of `f` to each number of a weight, which is moved in place."""
    found, step = torch.zeros_like(weight), 1e-6
    with torch.no_grad():
        for k in range(weight.numel()):
            flat = weight.view(-1)
            flat[k] += step
            high = f()
            flat[k] -= 2 * step
            low = f()
            flat[k] += step
            found.view(-1)[k] = (high - low) / (2 * step)
    return found


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_the_gradient_to_the_weights_is_that_of_the_value(name: str) -> None:
    """Second derivatives through input gradients, and targets of the student's own that are not detached, are in it."""
    student, generator = network(2), torch.Generator().manual_seed(0)
    inputs = {
        kind: torch.rand(3, 1, 2, 3, generator=generator, dtype=torch.float64) for kind in ("clean", "adversarial")
    }
    labels = torch.tensor([0, 3, 1])
    weight = student[1].weight
    (gradient,) = torch.autograd.grad(value_at(EVERY[name], student, inputs, labels), weight)

    def value() -> float:
        with torch.enable_grad():
            return value_at(EVERY[name], student, inputs, labels).item()

    torch.testing.assert_close(gradient, differences(value, weight), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["trades", "iad-1", "iad-2"])
def test_holding_the_student_s_own_target_gives_another_gradient(name: str) -> None:
    """What a detached target would give, by finite differences with `S(x)` held, is not the gradient."""
    student, generator = network(2), torch.Generator().manual_seed(0)
    inputs = {
        kind: torch.rand(3, 1, 2, 3, generator=generator, dtype=torch.float64) for kind in ("clean", "adversarial")
    }
    labels, weight = torch.tensor([0, 3, 1]), student[1].weight
    (gradient,) = torch.autograd.grad(value_at(EVERY[name], student, inputs, labels), weight)
    held = {"student_clean": student(inputs["clean"]).detach()}
    with torch.no_grad():
        other = differences(lambda: value_at(EVERY[name], student, inputs, labels, held).item(), weight)
    assert (gradient - other).abs().max() > 1e-4


def test_the_input_gradient_is_each_image_s_own() -> None:
    """Central differences of one image's cross-entropy; the other images of the batch play no part."""
    student, generator = network(2), torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 2, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1])
    terms = student_terms(("student_clean_gradient",), student, {"clean": x}, labels)["student_clean_gradient"]
    for k in range(3):

        def value(k: int = k) -> float:
            return -torch.log_softmax(student(x[k : k + 1]), dim=1)[0, labels[k]].item()

        torch.testing.assert_close(terms[k].detach(), differences(value, x[k]), rtol=1e-6, atol=1e-9)


def test_the_critic_reads_odd_sizes_and_tells_apart() -> None:
    for shape in ((1, 28, 28), (3, 32, 32), (1, 5, 7)):
        assert critic(shape)(torch.zeros(4, *shape)).shape == (4,)
    sure, unsure = torch.full((4,), 5.0), torch.zeros(4)
    assert critic_loss(sure, -sure) < critic_loss(unsure, unsure) < critic_loss(-sure, sure)


@pytest.mark.parametrize(
    "adversary",
    [
        Adversary("cross-entropy"),
        Adversary("kl", teacher_input="clean"),
        Adversary("kl", teacher_input="adversarial"),
        Adversary("self-kl"),
    ],
)
def test_the_attack_gradient_is_that_of_the_formula(adversary: Adversary) -> None:
    """Central differences of the objective, rewritten in NumPy: for "adversarial" they move both networks' inputs."""
    teacher, student = network(1), network(2)
    generator = torch.Generator().manual_seed(0)
    clean, x = (torch.rand(3, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.tensor([0, 3, 1])

    def formula(point: np.ndarray) -> np.ndarray:
        def p(model: nn.Module, at: np.ndarray) -> np.ndarray:
            return softmax(model(torch.from_numpy(at)).detach().numpy())

        s = p(student, point)
        if adversary.objective == "cross-entropy":
            return -np.log(s[np.arange(3), labels.numpy()])
        if adversary.objective == "self-kl":
            return divergences(p(student, clean.numpy()), s)
        return divergences(p(teacher, point if adversary.teacher_input == "adversarial" else clean.numpy()), s)

    x.requires_grad_(True)
    values = adversarial_objective(adversary, teacher, student, clean, labels)(x)
    np.testing.assert_allclose(values.detach().numpy(), formula(x.detach().numpy()), rtol=1e-10)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    steps = 1e-6 * np.eye(6)
    center = x.detach().numpy()
    moved = np.stack([(formula(center + h) - formula(center - h)) / 2e-6 for h in steps], axis=1)
    np.testing.assert_allclose(gradient.numpy(), moved, atol=1e-7)


OWN = """
from faithkd.distillation import METHODS, register
from dataclasses import replace

register(replace(METHODS["sd"], name="mine-of-the-test"))
"""


def test_a_method_of_one_s_own_is_registered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation.registry, "METHODS", dict(METHODS))
    monkeypatch.setattr(distillation, "METHODS", distillation.registry.METHODS)
    path = tmp_path / "own_method.py"
    path.write_text(OWN)
    for _ in range(2):
        load_module(str(path))
    assert distillation.find_method("mine-of-the-test").loss is METHODS["sd"].loss
    with pytest.raises(UserError, match="known already"):
        distillation.register(replace(METHODS["sd"], citation="another"))
    with pytest.raises(UserError, match="needs colour"):
        distillation.register(replace(METHODS["sd"], name="coloured", loss=lambda *, colour, labels: colour))
    for missing in (str(tmp_path / "none.py"), "no_such_module_of_the_test"):
        with pytest.raises(UserError, match="there is no"):
            load_module(missing)
