"""The distillation losses against formulas in NumPy, and their adversaries against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from faithkd.distillation import METHODS, Adversary, adversarial_objective, kl

rng = np.random.default_rng(3)
LOGITS = {
    name: rng.normal(0, 3, (7, 5))
    for name in ("teacher_clean", "teacher_adversarial", "student_clean", "student_adversarial")
}
LABELS = rng.integers(0, 5, 7)


def softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.mean(np.sum(p * np.log(p / q), axis=1)))


def surprise(z: np.ndarray) -> float:
    return float(-np.mean(np.log(softmax(z)[np.arange(len(z)), LABELS])))


def expected(method: str, a: float, t: float) -> float:
    tc, ta, sc, sa = (LOGITS[name] for name in LOGITS)
    if method == "sd":
        return a * t * t * divergence(softmax(tc / t), softmax(sc / t)) + (1 - a) * surprise(sc)
    if method == "ard":
        return a * t * t * divergence(softmax(tc / t), softmax(sa / t)) + (1 - a) * surprise(sc)
    if method == "rslad":
        target = softmax(tc / t)
        return t * t * (a * divergence(target, softmax(sa / t)) + (1 - a) * divergence(target, softmax(sc / t)))
    assert method == "fd"
    return a * t * t * divergence(softmax(ta / t), softmax(sa / t)) + (1 - a) * surprise(sc)


def given(method: str, requires_grad: bool = False) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(LOGITS[name], requires_grad=requires_grad) for name in METHODS[method].needs}


@pytest.mark.parametrize("alpha, temperature", [(0.5, 4.0), (0.5, 1.0), (0.9, 2.0), (1.0, 30.0), (0.0, 2.0)])
@pytest.mark.parametrize("method", METHODS)
def test_a_loss_is_its_formula(method: str, alpha: float, temperature: float) -> None:
    loss = METHODS[method].loss(**given(method), labels=torch.tensor(LABELS), alpha=alpha, temperature=temperature)
    assert loss.item() == pytest.approx(expected(method, alpha, temperature), rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_teaches_the_student_and_not_the_teacher(method: str) -> None:
    logits = given(method, requires_grad=True)
    METHODS[method].loss(**logits, labels=torch.tensor(LABELS), **{**METHODS[method].defaults, "alpha": 0.5}).backward()
    for name, values in logits.items():
        assert (values.grad is None) == name.startswith("teacher")


def test_the_settings_of_the_papers() -> None:
    assert METHODS["sd"].defaults == {"alpha": 0.5, "temperature": 4.0}
    assert METHODS["ard"].defaults == {"alpha": 1.0, "temperature": 30.0}
    assert METHODS["rslad"].defaults == {"alpha": 5 / 6, "temperature": 1.0}
    assert METHODS["fd"].defaults == {"alpha": 0.5, "temperature": 2.0}


def test_kl_is_zero_for_equal_and_finite_for_extreme_logits() -> None:
    z = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    assert torch.equal(kl(z, z), torch.zeros(2))
    assert torch.isfinite(kl(z, -z)).all()


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).double()


@pytest.mark.parametrize(
    "adversary",
    [Adversary("cross-entropy"), Adversary("kl", teacher_input="clean"), Adversary("kl", teacher_input="adversarial")],
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
        t = p(teacher, point if adversary.teacher_input == "adversarial" else clean.numpy())
        return np.sum(t * np.log(t / s), axis=1)

    x.requires_grad_(True)
    values = adversarial_objective(adversary, teacher, student, clean, labels)(x)
    np.testing.assert_allclose(values.detach().numpy(), formula(x.detach().numpy()), rtol=1e-10)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    steps = 1e-6 * np.eye(6)
    center = x.detach().numpy()
    differences = np.stack([(formula(center + h) - formula(center - h)) / 2e-6 for h in steps], axis=1)
    np.testing.assert_allclose(gradient.numpy(), differences, atol=1e-7)
