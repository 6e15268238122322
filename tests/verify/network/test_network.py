"""Reading networks: what is accepted computes what was read, what is not is refused by operation and place."""

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import verify
from tests.support import random_module, random_network
from verify import Region, ReluNetwork, Unsupported
from verify.network.reading import POINTS


class Scaling(nn.Module):
    """`x * scale + shift`, one value a channel."""

    def __init__(self, scale: list[float], shift: list[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("shift", torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.reshape(-1, 1, 1) + self.shift.reshape(-1, 1, 1)


class Functional(nn.Module):
    """Three linear layers, and whatever a function does with them."""

    def __init__(self, compute: Callable[["Functional", Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.compute = compute
        self.first, self.last, self.square = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> object:
        return self.compute(self, x)

    def body(self, x: Tensor) -> Tensor:
        return self.last(functional.relu(self.first(x)))


class QuantisedInput(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + ((x * 255).round() / 255 - x).detach())


def mlp() -> nn.Sequential:
    return random_module([4, 6, 5, 3], 0)


def with_hook(hook: Callable[..., object]) -> nn.Sequential:
    module = mlp()
    module[0].register_forward_hook(hook)
    return module


def pruned() -> nn.Sequential:
    module = mlp()
    prune.l1_unstructured(module[0], "weight", 0.3)
    return module


def normed(norm: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
    module = mlp()
    module[0] = norm(module[0])
    return module


def count(network: Functional, x: Tensor) -> Tensor:
    network.calls += 1
    return network.body(x)


def lookup(x: Tensor) -> Tensor:
    return torch.where(x > 0.5, x, 2 * x)


READ: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (mlp, (4,)),
    "scaled, flattened, with dropout": (
        lambda: nn.Sequential(Scaling([3.2, 0.5], [-0.4, 1.5]), nn.Flatten(), nn.Dropout(0.5), random_module([8, 6, 3], 0)),
        (2, 2, 2),
    ),
    "in place": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)), (4,)),
    "linear after linear, without bias": (
        lambda: nn.Sequential(nn.Linear(4, 7, bias=False), nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, 3)), (4,)
    ),
    "a hook that scales": (lambda: with_hook(lambda module, given, output: 2 * output - 1), (4,)),
    "pruned by a mask": (pruned, (4,)),
    "weight norm": (lambda: normed(parametrizations.weight_norm), (4,)),
    "old weight norm": (lambda: normed(torch.nn.utils.weight_norm), (4,)),
    "spectral norm": (lambda: normed(parametrizations.spectral_norm), (4,)),
    "a block placed twice": (lambda: Functional(lambda n, x: n.square(functional.relu(n.square(functional.relu(n.body(x)))))), (4,)),
    "functional, scaled in front and behind": (lambda: Functional(lambda n, x: n.body((x / 255 - 0.1307) / 0.3081) / 2.5 + 1), (4,)),
    "products of matrices": (
        lambda: Functional(lambda n, x: functional.relu(x @ n.first.weight.T + n.first.bias) @ n.last.weight.T), (4,)
    ),
    "a clamp that is a ReLU": (lambda: Functional(lambda n, x: n.last(n.first(1 - x).clamp(min=0))), (4,)),
    "without gradients": (lambda: Functional(lambda n, x: torch.no_grad()(n.body)(x)), (4,)),
    "channels last": (lambda: Functional(lambda n, x: n.body(x.permute(0, 2, 3, 1).flip(1).flatten(1))), (1, 2, 2)),
    "linear over the last axis": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(10, 3)), (2, 4)),
    "ReLU first, twice and last": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.ReLU()), (4,)),
    "float64 of float32 numbers": (lambda: mlp().double(), (4,)),
    "in parallel": (lambda: nn.DataParallel(mlp()), (4,)),
    "compiled": (lambda: torch.compile(mlp()), (4,)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_what_the_module_computes(name: str) -> None:
    build, shape = READ[name]
    module = build().eval()
    network = ReluNetwork.from_module(module, shape)
    images = 2 * torch.rand((10, *shape), generator=torch.Generator().manual_seed(1)) - 1
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        given = module(images.to(next(module.parameters()).dtype)).double()
    assert torch.allclose(given, network(images.flatten(1).double()), rtol=1e-5, atol=1e-5)


def test_a_network_of_known_layers() -> None:
    module = nn.Sequential(Scaling([3.2, 0.5], [-0.4, 1.5]), nn.Flatten(), random_module([8, 6, 5, 3], 0))
    network = ReluNetwork.from_module(module, (2, 2, 2))
    assert (network.input_size, network.classes, network.depth) == (8, 3, 3)
    assert network.weight_errors == (None, None, None)


def test_weights_are_the_stored_numbers() -> None:
    module = random_module([4, 5, 3], 1)
    network = ReluNetwork.from_module(module)
    assert torch.equal(network.weights[0].float(), module[0].weight)
    assert torch.equal(network.biases[1].float(), module[2].bias)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_are_the_float32_numbers_that_they_are(dtype: torch.dtype) -> None:
    module = mlp().to(dtype)
    network = ReluNetwork.from_module(module)
    for weight, layer in zip(network.weights, module[::2], strict=True):
        assert torch.equal(weight, layer.weight.double())


def test_what_folding_rounds_is_covered() -> None:
    """Scalings and merged layers against the same computation in rational arithmetic."""
    from fractions import Fraction

    module = Functional(lambda n, x: n.square(n.body(x / 255 - 0.1307)) / 0.3081)
    network = ReluNetwork.from_module(module, (4,))
    point = [Fraction(k, 7) for k in range(4)]

    def exact(layer: nn.Linear, x: list[Fraction]) -> list[Fraction]:
        pairs = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
        return [sum((Fraction(w) * v for w, v in zip(row, x, strict=True)), Fraction(b)) for row, b in pairs]

    def rounded(number: float) -> Fraction:
        return Fraction(torch.tensor(number, dtype=torch.float32).item())

    hidden = exact(module.first, [x / 255 - rounded(0.1307) for x in point])
    logits = exact(module.square, exact(module.last, [max(h, Fraction(0)) for h in hidden]))
    logits = [logit / rounded(0.3081) for logit in logits]
    values = point
    for k in range(network.depth):
        off = []
        layer = zip(
            network.weights[k], network.biases[k], network.bias_errors[k], network.weight_errors[k], strict=True
        )
        for row, bias, bias_error, errors in layer:
            total = sum((Fraction(w) * v for w, v in zip(row.tolist(), values, strict=True)), Fraction(bias.item()))
            lost = sum((Fraction(e) * abs(v) for e, v in zip(errors.tolist(), values, strict=True)), Fraction(0))
            off.append((total, lost + Fraction(bias_error.item())))
        truth = hidden if k == 0 else logits
        for value, (total, lost) in zip(truth, off, strict=True):
            assert 0 < lost < Fraction(1, 10**13)
            assert abs(value - total) <= lost
        values = [max(value, Fraction(0)) for value in truth]


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x[:, :3]


def broken(value: float) -> nn.Sequential:
    module = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        module[0].weight[0, 0] = value
    return module


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), "softmax in layer 1 .Softmax.* logits, so remove it"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)), "log_softmax in layer 1 .LogSoftmax.* logits, so remove it"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)), "sigmoid in layer 1 .Sigmoid. is not supported; supported are"),
    (lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), "batch_norm in layer 0 .BatchNorm1d. is not supported"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Hardtanh())), "hardtanh in layer 1.1 .Hardtanh."),
    (lambda: nn.Sequential(nn.Linear(4, 1)), "1 output; at least two classes"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1))), "gives .3, 1. numbers an image"),
    (lambda: broken(torch.nan), "NaN or infinite"),
    (lambda: broken(torch.inf), "NaN or infinite"),
    (lambda: nn.Sequential(nn.Linear(4, 3, dtype=torch.float64)), "linear in layer 0 .* not float32 numbers; store"),
    (lambda: Residual(nn.Linear(4, 3)), "operation add at line .* of test_network.py .* combines two results"),
    (lambda: QuantisedInput(nn.Linear(4, 3)), "operation round at line .* of test_network.py is not supported; supported are"),
    (lambda: with_hook(lambda module, given, output: output + torch.relu(0.1 - given[0][:, :1])), "add in layer 0 .Linear."),
    (lambda: with_hook(lambda module, given, output: output.abs()), "operation abs in layer 0 .Linear. is not supported"),
    (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(5, 2)), "cannot be traced on images of shape .4,."),
    (lambda: Functional(lambda n, x: n.body(x) + torch.randn(3)), "randn at line .* is random"),
    (lambda: Functional(lambda n, x: functional.dropout(n.body(x))), "drops numbers at random"),
    (lambda: Functional(lambda n, x: n.body(x - x.mean(0))), "operation mean"),
    (lambda: Functional(lambda n, x: n.body(x.flip(0))), "mixes the images"),
    (lambda: Functional(lambda n, x: n.body(x + torch.arange(POINTS)[:, None])), "not the same for every image"),
    (lambda: Functional(lambda n, x: n.body(x.half().float())), "rounds numbers of type torch.float32 to torch.float16"),
    (lambda: Functional(lambda n, x: n.body(x.int().float())), "rounds numbers"),
    (lambda: Functional(lambda n, x: n.body(x) if x.sum() > 0 else n.body(2 * x)), "depends on the values of its input at line"),
    (lambda: Functional(lambda n, x: n.body(x if torch.compiler.is_compiling() else 2 * x)), "something else when it is run"),
    (lambda: Functional(lambda n, x: n.body(lookup(x))), "operation (gt|where)"),
    (lambda: Functional(lambda n, x: functional.relu6(n.body(x))), "operation (relu6|hardtanh)"),
    (lambda: Functional(lambda n, x: n.body(x).clamp(0, 1)), "clamps to .0, 1."),
    (lambda: Functional(lambda n, x: 1 / n.body(x)), "operation (reciprocal|div)"),
    (lambda: Functional(lambda n, x: n.body(x) / 0.0), "divides by zero"),
    (lambda: Functional(lambda n, x: x[:, :3] @ n.body(x).transpose(0, 1)), "mixes the images"),
    (lambda: Functional(lambda n, x: (n.body(x), x)), "one tensor, its logits"),
    (lambda: Functional(lambda n, x: {"logits": n.body(x)}), "one tensor, its logits"),
    (lambda: Functional(lambda n, x: n.last.weight[:, :3].expand(POINTS, 3, 3)[:, 0]), "depends on its input"),
    (lambda: Functional(count), "changes its own buffers"),
    (lambda: torch.jit.script(mlp()), "TorchScript"),
    (lambda: nn.Sequential(nn.LazyLinear(3)), "not there yet"),
    (lambda: mlp().state_dict(), "a dictionary; build the network"),
    (lambda: "student.pt", "a path; load the network"),
    (lambda: lookup, "but is a function"),
    (lambda: None, "but is a NoneType"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("place", range(len(REFUSED)))
def test_what_is_not_supported_is_refused(place: int) -> None:
    build, message = REFUSED[place]
    with pytest.raises(Unsupported, match=message) as refusal:
        ReluNetwork.from_module(build(), (4,))
    assert "\n" not in str(refusal.value)


def test_a_refusal_says_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unsupported):
        ReluNetwork.from_module(Functional(lambda n, x: n.body(x) if x.sum() > 0 else x), (4,))
    assert capfd.readouterr() == ("", "")


def test_a_module_is_left_as_it_was() -> None:
    module = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Sequential(nn.Linear(6, 3), nn.Identity())
    ).train()
    module[2].eval()
    module[3].eval()
    flags = [part.training for part in module.modules()]
    state = {name: values.clone() for name, values in module.state_dict().items()}
    places = [values.data_ptr() for values in module.parameters()]
    network = ReluNetwork.from_module(module)
    assert [part.training for part in module.modules()] == flags
    assert all(torch.equal(state[name], values) for name, values in module.state_dict().items())
    assert [values.data_ptr() for values in module.parameters()] == places
    with torch.no_grad():
        module[0].weight.zero_()
    assert torch.equal(network.weights[0].float(), state["0.weight"])


def test_a_module_that_counts_its_calls_is_left_as_it_was() -> None:
    module = Functional(count)
    with pytest.raises(Unsupported):
        ReluNetwork.from_module(module, (4,))
    assert module.calls.item() == 0


def test_storage_is_not_shared_with_a_float64_module() -> None:
    module = mlp().double()
    network = ReluNetwork.from_module(module)
    before = network.weights[0].clone()
    with torch.no_grad():
        module[0].weight.zero_()
    assert torch.equal(network.weights[0], before)


def test_points_outside_the_unit_box_are_looked_at() -> None:
    """A module that does something else far from the images, and only when it is run, is caught at the region asked for."""

    def compute(network: Functional, x: Tensor) -> Tensor:
        return network.body(x) if torch.compiler.is_compiling() or bool((x < 10).all()) else network.body(-x)

    module = Functional(compute)
    ReluNetwork.from_module(module, (4,))
    far = Region.ball(torch.full((1, 4), 20.0), 1.0, None)
    with pytest.raises(Unsupported, match="something else when it is run"):
        ReluNetwork.from_module(module, (4,), far.sample(POINTS))
    with pytest.raises(Unsupported, match="something else when it is run"):
        verify.faithfulness(mlp(), module, torch.full((1, 4), 20.0), 1.0, valid_range=None, method="crown")


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_every_question_may_be_asked_in_any_mode(mode: Callable[[], object]) -> None:
    outside = random_module([4, 6, 5, 3], 1)
    with mode():
        module, images = mlp(), torch.rand((2, 4), generator=torch.Generator().manual_seed(0))
        result = verify.faithfulness(module, outside, images, 0.05, max_nodes=20)
        agreement = verify.agreement(module, outside, images, 0.05)
        robustness = verify.robustness(module, images, torch.zeros(2, dtype=torch.int64), 0.05)
        region = Region.ball(images, 0.05)
        lower, upper = verify.logit_differences(module, region, "alpha-crown")
        assert (verify.bounds(module, region, "alpha-crown").lower[0] <= verify.bounds(module, region).upper[0]).all()
    ordinary = torch.rand((2, 4), generator=torch.Generator().manual_seed(0))
    expected = verify.faithfulness(mlp(), outside, ordinary, 0.05, max_nodes=20)
    assert torch.equal(result.faithub, expected.faithub)
    assert torch.equal(result.emplb, expected.emplb)
    assert agreement.status == verify.agreement(mlp(), outside, ordinary, 0.05).status
    assert len(robustness.status) == 2
    assert (lower <= upper).all()


def test_images_may_be_numpy_arrays() -> None:
    images = torch.rand((2, 4), generator=torch.Generator().manual_seed(0))
    one, other = (
        verify.faithfulness(mlp(), random_module([4, 5, 3], 1), x, 0.05, method="crown")
        for x in (images, images.numpy())
    )
    assert torch.equal(one.faithub, other.faithub)
    with pytest.raises(Unsupported, match="must be a tensor"):
        verify.faithfulness(mlp(), mlp(), [[0.0] * 4], 0.05)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([[[1.0, 2.0], [torch.nan, 0.0]]], "layer 1 .* NaN or infinite"),
        ([[[1.0, 2.0], [0.0, 0.0]], [[torch.inf, 0.0], [0.0, 0.0]]], "layer 2 .* NaN or infinite"),
        ([[[1.0, 2.0], [0.0, 0.0]], [[1.0], [0.0]]], "layer 2 .* takes 1 numbers and gives 2, but is given 2"),
        ([[[1.0, 2.0]]], "1 output"),
    ],
)
def test_networks_that_are_none_are_refused(weights: list[list[list[float]]], message: str) -> None:
    matrices = tuple(torch.tensor(weight, dtype=torch.float64) for weight in weights)
    zeros = tuple(torch.zeros(len(matrix), dtype=torch.float64) for matrix in matrices)
    network = ReluNetwork(matrices, zeros, zeros)
    for ask in (verify.faithfulness, verify.agreement):
        with pytest.raises(Unsupported, match=message):
            ask(network, network, torch.rand((1, 2)), 0.1)
    sound = ReluNetwork.from_module(random_module([2, 3, 2], 0))
    with pytest.raises(Unsupported, match="proved in float64"):
        verify.agreement(sound.to(dtype=torch.float32), sound, torch.rand((1, 2)), 0.1)


def test_a_network_that_was_sent_to_another_process_is_the_same() -> None:
    network = random_network([4, 6, 5, 3], 0)
    sent = pickle.loads(pickle.dumps(network))
    assert sent.is_dense and network.is_dense
    region = Region.ball(torch.rand((9, 4), generator=torch.Generator().manual_seed(0)), 0.1)
    for one, other in zip(verify.bounds(network, region).upper, verify.bounds(sent, region).upper, strict=True):
        assert torch.equal(one, other)
