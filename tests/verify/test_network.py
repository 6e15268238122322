"""Reading networks: what is accepted is reproduced, what is not is refused by name and place."""

import pytest
import torch
from torch import Tensor, nn

from tests.support import random_module
from verify import ReluNetwork, Unsupported


class Scaling(nn.Module):
    """`x * scale + shift`, one value a channel."""

    def __init__(self, scale: list[float], shift: list[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("shift", torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.reshape(-1, 1, 1) + self.shift.reshape(-1, 1, 1)

    def affine(self) -> tuple[Tensor, Tensor]:
        return self.scale, self.shift


def test_the_network_is_reproduced_with_its_scaling_folded_in() -> None:
    module = nn.Sequential(
        Scaling([3.2, 0.5], [-0.4, 1.5]), nn.Flatten(), nn.Dropout(0.5), random_module([8, 6, 5, 3], 0)
    )
    network = ReluNetwork.from_module(module, (2, 2, 2))
    images = torch.rand((10, 2, 2, 2))
    assert torch.allclose(module.eval()(images).double(), network(images.flatten(1).double()), atol=1e-5)
    assert (network.input_size, network.classes, network.depth) == (8, 3, 3)


def test_weights_are_the_stored_numbers() -> None:
    module = random_module([4, 5, 3], 1)
    network = ReluNetwork.from_module(module)
    assert torch.equal(network.weights[0].float(), module[0].weight)
    assert torch.equal(network.biases[1].float(), module[2].bias)


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x[:, :3]


def broken(module: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        module[0].weight[0, 0] = torch.nan
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), "layer 1 is a Softmax.*logits"),
        (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)), "LogSoftmax"),
        (nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)), "layer 1 is a Sigmoid; supported are"),
        (nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 1))), "layer 1.1 is a Conv2d"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), "layer 1 .Linear. follows another Linear"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), "layer 0 .ReLU. does not follow"),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "ends with a ReLU"),
        (nn.Sequential(nn.Linear(4, 1)), "1 output"),
        (nn.Sequential(nn.Flatten()), "no Linear layer"),
        (broken(nn.Sequential(nn.Linear(4, 3))), "NaN or infinite"),
        (nn.Sequential(nn.Linear(4, 3, dtype=torch.float64)), "not float32 numbers"),
        (Residual(nn.Linear(4, 3)), "something else than its layers"),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(5, 2)), "takes 5 inputs but the one before it gives 3"),
    ],
)
def test_what_is_not_supported_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        ReluNetwork.from_module(module)
