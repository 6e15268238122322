"""Metrics of one network and of a pair, against second implementations in NumPy that go image by image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from faithkd import data
from faithkd.attacks import pgd
from faithkd.metrics import (
    calibration,
    correct_probability,
    cosine_similarity,
    counted,
    easiest_and_hardest,
    entropy,
    gain_by_difficulty,
    gradient_distance,
    input_gradient,
    local_linearity,
    peak_memory,
    relative_calibration,
    sample_difficulty,
    teacher_cases,
    transfer_estimate,
)
from verify import Region
from verify.attained.ascent import uniform_starts

IMAGES, LABELS = data.load("mnist-sample").sample(40, seed=2)
TINY, SMALL = IMAGES[:, :, 10:12, 10:12].contiguous(), LABELS % 3


def logits_of(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(row: np.ndarray) -> np.ndarray:
    return np.exp(row.astype(np.float64) - math.log(sum(math.exp(z) for z in row.tolist())))


def two_layers(seed: int, inputs: int = 4, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, classes))
    with torch.no_grad():
        model[1].weight *= 4
    return model.requires_grad_(False)


class ByHand:
    """The same network in NumPy, its cross-entropy and that one's gradient written out."""

    def __init__(self, model: nn.Module) -> None:
        self.w, self.b = (p.double().numpy() for p in model[1].parameters())
        self.v, self.c = (p.double().numpy() for p in model[3].parameters())

    def loss(self, x: np.ndarray, label: int) -> float:
        return -math.log(softmax(self.v @ np.tanh(self.w @ x + self.b) + self.c)[label])

    def gradient(self, x: np.ndarray, label: int) -> np.ndarray:
        hidden = np.tanh(self.w @ x + self.b)
        p = softmax(self.v @ hidden + self.c)
        p[label] -= 1
        return self.w.T @ ((1 - hidden**2) * (self.v.T @ p))


# Of logits


def test_entropy() -> None:
    logits = logits_of(30, 7)
    expected = [-sum(p * math.log(p) for p in softmax(row)) for row in logits.numpy()]
    np.testing.assert_allclose(entropy(logits).numpy(), expected, rtol=1e-6)
    assert entropy(torch.zeros(1, 8)).item() == pytest.approx(math.log(8))
    assert entropy(torch.tensor([[0.0, 1e4]])).item() == 0


def test_calibration() -> None:
    logits, labels = logits_of(200, 5), torch.randint(5, (200,), generator=torch.Generator().manual_seed(1))
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    brier = nll = 0.0
    for row, label in zip(logits.numpy(), labels.tolist(), strict=True):
        p = softmax(row)
        place = next(b for b in range(15) if p.max() <= (b + 1) / 15 or b == 14)
        bins[place].append((p.max(), int(p.argmax()) == label))
        brier += sum((p[i] - (i == label)) ** 2 for i in range(5)) / 200
        nll -= math.log(p[label]) / 200
    ece = sum(
        abs(sum(right for _, right in b) / len(b) - sum(c for c, _ in b) / len(b)) * len(b) / 200 for b in bins if b
    )
    found = calibration(logits, labels)
    assert (found.ece, found.brier, found.nll) == pytest.approx((ece, brier, nll), rel=1e-6)


def test_a_network_that_is_certain_and_right_is_calibrated_and_one_that_is_wrong_is_not() -> None:
    certain = 1e3 * torch.eye(4)
    right, wrong = calibration(certain, torch.arange(4)), calibration(certain, torch.tensor([1, 2, 3, 0]))
    assert (right.ece, right.brier, right.nll) == (0, 0, 0)
    assert (wrong.ece, wrong.brier, wrong.nll) == (1, 2, 1e3)


def test_relative_calibration_is_calibration_for_a_certain_teacher_and_zero_for_an_imitator() -> None:
    student, labels = logits_of(100, 6), torch.arange(100) % 6
    teacher = 1e3 * nn.functional.one_hot(labels, 6).float()
    assert relative_calibration(teacher, student) == calibration(student, labels)
    itself = relative_calibration(student, student + 2.5)
    assert (itself.ece, itself.brier, itself.nll) == pytest.approx((0, 0, 0), abs=1e-6)


def test_relative_calibration_of_a_pair() -> None:
    teacher, student = logits_of(80, 4, seed=1), logits_of(80, 4, seed=2)
    gaps, brier, kl = np.zeros(10), 0.0, 0.0
    for row_t, row_s in zip(teacher.numpy(), student.numpy(), strict=True):
        t, s = softmax(row_t), softmax(row_s)
        gaps[math.ceil(s.max() * 10) - 1] += t[s.argmax()] - s.max()
        brier += float(((t - s) ** 2).sum()) / 80
        kl += float((t * np.log(t / s)).sum()) / 80
    found = relative_calibration(teacher, student, bins=10)
    assert (found.ece, found.brier, found.nll) == pytest.approx((np.abs(gaps).sum() / 80, brier, kl), rel=1e-6)


def test_difficulty_its_extremes_and_the_gain_by_it() -> None:
    logits, labels = logits_of(4, 23, 5), torch.arange(23) % 5
    difficulty = sample_difficulty(logits, labels)
    expected = [
        -sum(math.log(softmax(network[i])[label]) for network in logits.numpy()) / 4
        for i, label in enumerate(labels.tolist())
    ]
    np.testing.assert_allclose(difficulty.numpy(), expected, rtol=1e-6)
    ranked = sorted(range(23), key=lambda i: expected[i])
    easiest, hardest = easiest_and_hardest(difficulty, 3)
    assert (easiest.tolist(), hardest.tolist()) == (ranked[:3], ranked[:-4:-1])
    gains = [softmax(logits[1, i].numpy())[y] - softmax(logits[0, i].numpy())[y] for i, y in enumerate(labels.tolist())]
    parts = [ranked[:6], ranked[6:12], ranked[12:18], ranked[18:]]
    found = gain_by_difficulty(logits[0], logits[1], labels, difficulty, groups=4)
    np.testing.assert_allclose(found.numpy(), [np.mean([gains[i] for i in part]) for part in parts], rtol=1e-5)


def test_cosine_similarity_of_what_two_networks_learn() -> None:
    labels = torch.arange(9) % 4
    teacher, student = (correct_probability(logits_of(6, 9, 4, seed=seed), labels) for seed in (1, 2))
    assert teacher.shape == (6, 9)
    assert teacher[2, 5].item() == pytest.approx(softmax(logits_of(6, 9, 4, seed=1)[2, 5].numpy())[labels[5]])

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    t, s = teacher.numpy(), student.numpy()
    np.testing.assert_allclose(cosine_similarity(teacher, student), [cosine(t[e], s[e]) for e in range(6)])
    by_image = cosine_similarity(teacher, student, over="epochs")
    np.testing.assert_allclose(by_image, [cosine(t[:, i], s[:, i]) for i in range(9)])
    assert cosine_similarity(torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [0, 0]


# Of networks


def test_the_cases_of_a_teacher_at_the_adversarial_images_of_a_student() -> None:
    teacher, student = two_layers(0, 784, 10), two_layers(1, 784, 10)
    labels = teacher(IMAGES).argmax(dim=1)
    labels[:9] = (labels[:9] + 1) % 10
    attacked = pgd(10)(student, IMAGES, labels, 0.3)
    seen = {"both": 0, "image_only": 0, "wrong": 0, "adversarial": 0}
    for x, x_adv, label in zip(IMAGES, attacked, labels.tolist(), strict=True):
        clean, adversarial = (int(teacher(one[None]).argmax()) == label for one in (x, x_adv))
        seen["both" if clean and adversarial else "image_only" if clean else "wrong"] += 1
        seen["adversarial"] += adversarial
    cases = teacher_cases(teacher, IMAGES, attacked, labels)
    assert (cases.both, cases.image_only, cases.wrong) == (seen["both"], seen["image_only"], seen["wrong"])
    assert cases.accuracy_at_adversarial == seen["adversarial"] / 40
    assert cases.wrong == 9 and cases.image_only > 0


def test_input_gradients_and_their_distance() -> None:
    teacher, student = two_layers(0), two_layers(1)
    t, s = ByHand(teacher), ByHand(student)
    pixels = TINY.flatten(1).double().numpy()
    by_hand = [(t.gradient(x, y), s.gradient(x, y)) for x, y in zip(pixels, SMALL.tolist(), strict=True)]
    gradient = input_gradient(student, TINY, SMALL)
    assert gradient.shape == TINY.shape
    np.testing.assert_allclose(gradient.flatten(1), [s for _, s in by_hand], rtol=1e-4, atol=1e-6)
    for norm in (1, 2):
        expected = [np.linalg.norm(s - t, ord=norm) for t, s in by_hand]
        np.testing.assert_allclose(gradient_distance(teacher, student, TINY, SMALL, norm), expected, rtol=1e-4)
    assert not gradient_distance(teacher, teacher, TINY, SMALL).any()


def grid(x: np.ndarray, eps: float, points: int) -> np.ndarray:
    axes = [np.linspace(max(v - eps, 0), min(v + eps, 1), points) for v in x]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(x))


def test_local_linearity_is_the_best_iterate_of_its_steps_and_below_a_grid() -> None:
    model, eps = two_layers(2, 2), 0.4
    by_hand, images, labels = ByHand(model), TINY[:12, 0, 0], SMALL[:12]
    starts = uniform_starts(Region.ball(images, eps), 1, 0)[:, 0].double().numpy()
    found = local_linearity(model, images, labels, eps)
    for x, label, at, value in zip(images.double().numpy(), labels.tolist(), starts, found.tolist(), strict=True):
        loss, slope, best = by_hand.loss(x, label), by_hand.gradient(x, label), 0.0
        for _ in range(21):
            deviation = by_hand.loss(at, label) - loss - (at - x) @ slope
            best = max(best, abs(deviation))
            uphill = np.sign(deviation) * (by_hand.gradient(at, label) - slope)
            at = np.clip(at + eps / 10 * np.sign(uphill), np.maximum(x - eps, 0), np.minimum(x + eps, 1))
        assert value == pytest.approx(best, abs=1e-4)
        on_grid = [abs(by_hand.loss(point, label) - loss - (point - x) @ slope) for point in grid(x, eps, 41)]
        assert value <= max(on_grid) + 1e-3
    assert not local_linearity(model, images, labels, 0.0).any()


def test_the_estimate_of_transfer_is_its_four_terms_and_holds_on_a_grid() -> None:
    teacher, student, eps = two_layers(2, 2), two_layers(3, 2), 0.2
    t, s, images, labels = ByHand(teacher), ByHand(student), TINY[:12, 0, 0], SMALL[:12]
    found = transfer_estimate(teacher, student, images, labels, eps)
    bent = local_linearity(teacher, images, labels, eps) + local_linearity(student, images, labels, eps)
    for x, label, value, rest in zip(images.double().numpy(), labels.tolist(), found, bent, strict=True):
        gap = abs(s.loss(x, label) - t.loss(x, label))
        slope = sum(abs(a - b) for a, b in zip(s.gradient(x, label), t.gradient(x, label), strict=True))
        assert value.item() == pytest.approx(gap + eps * slope + rest.item(), rel=1e-4)
        assert value.item() >= max(abs(s.loss(p, label) - t.loss(p, label)) for p in grid(x, eps, 21)) - 0.01


def test_a_linear_loss_deviates_nowhere() -> None:
    """With two classes whose logits are far apart the cross-entropy of the wrong one is linear."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).requires_grad_(False)
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([200.0, 0.0]))
    assert local_linearity(model, TINY, torch.ones(40, dtype=torch.long), 0.3).max() < 1e-4


# Cost


def test_passes_are_those_of_the_attack() -> None:
    model = two_layers(0, 784, 10)
    with counted(model) as passes:
        pgd(7)(model, IMAGES, LABELS, 0.1)
    assert (passes.forward, passes.backward, passes.images) == (7, 7, 280)
    with counted(model.requires_grad_(True)) as passes:
        model(IMAGES)
        (model(IMAGES[:5]).sum() + model(IMAGES[:5]).sum()).backward()
    model(IMAGES).sum().backward()
    assert (passes.forward, passes.backward, passes.images) == (3, 2, 50)


def test_peak_memory_is_what_the_system_says() -> None:
    held = torch.ones(20_000_000)
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system has no /proc")
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_memory() == pytest.approx(1024 * peak, rel=0.05)
    assert peak_memory() > held.numel() * 4
