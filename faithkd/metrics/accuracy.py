"""Clean accuracy."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """`(n,)` truth values: is the largest logit of each image `(n, *shape)` that of its label `(n,)`."""
    return decisions(model, images) == labels


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of the images that are decided as their labels say, in [0, 1]."""
    return correct(model, images, labels).double().mean().item()


@torch.no_grad()
def decisions(model: nn.Module, images: Tensor) -> Tensor:
    """The class `(n,)` of the largest logit, the first of equals."""
    logits: Tensor = model(images)
    return logits.argmax(dim=1)
