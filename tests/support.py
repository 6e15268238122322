"""Small networks, regions and reference data that several tests share."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from verify import Region, ReluNetwork

REFERENCE = Path(__file__).parent / "reference" / "mnist_lirpa.npz"


def random_module(sizes: list[int], seed: int, scale: float = 1.0) -> nn.Sequential:
    """A Sequential of Linear and ReLU layers with float32 weights, `sizes` from the input to the logits."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * scale * (2 / inputs) ** 0.5)
            linear.bias.copy_(torch.randn(linear.bias.shape, generator=generator) * 0.3)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def random_network(sizes: list[int], seed: int, scale: float = 1.0) -> ReluNetwork:
    """The same as a ReluNetwork."""
    return ReluNetwork.from_module(random_module(sizes, seed, scale), (sizes[0],))


def samples(region: Region, count: int, seed: int = 0) -> Tensor:
    """Points `(n, count, d)` of each region: uniform ones, then corners."""
    generator = torch.Generator().manual_seed(seed)
    lower, upper = region.inner(torch.float64)
    draws = torch.rand((len(region), count, lower.shape[1]), generator=generator, dtype=torch.float64)
    draws[:, count // 2 :] = draws[:, count // 2 :].round()
    return lower[:, None] + (upper - lower)[:, None] * draws


def grid(region: Region, points: int) -> Tensor:
    """A grid `(n, points^d, d)` over each region of few inputs, corners included."""
    axis = torch.linspace(0, 1, points, dtype=torch.float64)
    inputs = region.center.shape[1]
    unit = torch.cartesian_prod(*[axis] * inputs).reshape(-1, inputs)
    return region.lower[:, None] + (region.upper - region.lower)[:, None] * unit


def confidences_difference(teacher: ReluNetwork, student: ReluNetwork, points: Tensor) -> Tensor:
    """`||p_t - p_s||_inf` at points `(..., d)`, in float64."""
    return (teacher(points).softmax(-1) - student(points).softmax(-1)).abs().amax(-1)


def reference_network(name: str) -> ReluNetwork:
    """One of the networks of the reference file: `rt`, `ard` or `fd`."""
    with np.load(REFERENCE) as data:
        depth = sum(key.startswith(f"{name}.W") for key in data)
        weights = tuple(torch.from_numpy(data[f"{name}.W{k}"]).double() for k in range(depth))
        biases = tuple(torch.from_numpy(data[f"{name}.b{k}"]).double() for k in range(depth))
    return ReluNetwork(weights, biases, tuple(torch.zeros_like(bias) for bias in biases))


def reference_region(eps: float) -> Region:
    """The regions of the reference file, in its normalised units; its images stand up to 1e-8 outside its valid range."""
    with np.load(REFERENCE) as data:
        images = torch.from_numpy(data["x"])
        smallest, largest = data["valid_range"].tolist()
    return Region(
        images, (images - eps).clamp(min=smallest), (images + eps).clamp(max=largest), (images.shape[1],), eps, None
    )
