"""Convolutional networks and the transformer: their published sizes, what they compute, and that they learn, save and load."""

import hashlib
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from faithkd import UserError, data
from faithkd.checkpoint import card_for, load, save
from faithkd.data.catalogue import CIFAR10
from faithkd.metrics import accuracy
from faithkd.models import Architecture, build, named
from faithkd.models.vit import Attention
from tests.faithkd.running import run
from tests.faithkd.writing import write_cifar10

SMALL = {  # One of each family, small.
    "resnet": {"depth": 18},
    "preact-resnet": {"depth": 18},
    "wide-resnet": {"depth": 10, "width": 1, "activation": "silu"},
    "mobilenet-v2": {},
    "vit": {"dim": 12, "depth": 2, "heads": 3},
}


def small(family: str, shape=(3, 16, 16), classes: int = 4, **more):
    """A small network of a family, with running statistics that are not those of the start."""
    network = build(
        Architecture(family, {**SMALL[family], "input_shape": list(shape), **more}),
        [0.5] * 3,
        [0.25] * 3,
        classes,
        seed=3,
    )
    network.train()(torch.rand(16, *shape, generator=torch.Generator().manual_seed(8)))
    return network.eval()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """The folder of a made-up CIFAR-10 of 30 training and 12 test images."""
    write_cifar10(tmp_path / "cifar10", monkeypatch, 30, 12)
    return tmp_path


# Sizes


@pytest.mark.parametrize(
    ("name", "parameters", "source"),
    [
        ("resnet-18", 11_173_962, "11.17 M"),
        ("resnet-34", 21_282_122, "21.28 M"),
        ("resnet-50", 23_520_842, "23.52 M"),
        ("preactresnet-18", 11_172_170, "11.17 M"),
        ("wrn-28-10", 36_479_194, "36.48 M"),
        ("wrn-28-10-silu", 36_479_194, "36.48 M"),
        ("wrn-34-10", 46_160_474, "46.16 M"),
        ("wrn-34-20", 184_531_674, "184.53 M"),
        ("wrn-70-16", 266_796_506, "266.80 M"),
        ("mobilenet-v2", 2_296_922, "2.30 M"),
        ("vit-s-16", 21_342_346, "21.34 M"),
    ],
)
def test_parameters_are_as_many_as_published(name, parameters, source):
    with torch.device("meta"):
        model = named(name, "cifar10")
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == parameters and f"{count / 1e6:.2f} M" == source


def test_every_network_reads_larger_images_and_may_drop_out():
    for name in ("resnet-18", "preactresnet-18", "wrn-28-10", "mobilenet-v2", "vit-s-16"):
        with torch.device("meta"):
            model = named(name, "tiny-imagenet", dropout=0.1)
            assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 200)
        assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.1]


# What they compute: the published programs' formulas, on tensors by the published programs' names


def conv(w, name, x, stride=1, groups=1):
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)


def norm(w, name, x):
    scale = w[f"{name}.weight"] / (w[f"{name}.running_var"] + 1e-5).sqrt()
    return x * scale[:, None, None] + (w[f"{name}.bias"] - w[f"{name}.running_mean"] * scale)[:, None, None]


def head(w, name, x):
    return F.adaptive_avg_pool2d(x, 1)[..., 0, 0] @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def blocks(w, stage):
    return sorted({name[len(stage) + 1 :].split(".")[0] for name in w if name.startswith(f"{stage}.")}, key=int)


def resnet(w, x):
    x = F.relu(norm(w, "bn1", conv(w, "conv1", x)))
    for stage in range(1, 5):
        for k in blocks(w, f"layer{stage}"):
            at, stride = f"layer{stage}.{k}", 2 if stage > 1 and k == "0" else 1
            deep = f"{at}.conv3.weight" in w
            y = F.relu(norm(w, f"{at}.bn1", conv(w, f"{at}.conv1", x, 1 if deep else stride)))
            y = norm(w, f"{at}.bn2", conv(w, f"{at}.conv2", y, stride if deep else 1))
            if deep:
                y = norm(w, f"{at}.bn3", conv(w, f"{at}.conv3", F.relu(y)))
            if f"{at}.shortcut.0.weight" in w:
                x = norm(w, f"{at}.shortcut.1", conv(w, f"{at}.shortcut.0", x, stride))
            x = F.relu(x + y)
    return head(w, "linear", x)


def preact_resnet(w, x):
    x = conv(w, "conv1", x)
    for stage in range(1, 5):
        for k in blocks(w, f"layer{stage}"):
            at, stride = f"layer{stage}.{k}", 2 if stage > 1 and k == "0" else 1
            y = F.relu(norm(w, f"{at}.bn1", x))
            x = conv(w, f"{at}.shortcut.0", y, stride) if f"{at}.shortcut.0.weight" in w else x
            y = conv(w, f"{at}.conv1", y, stride)
            x = x + conv(w, f"{at}.conv2", F.relu(norm(w, f"{at}.bn2", y)))
    return head(w, "linear", F.relu(norm(w, "bn", x)))


def wide_resnet(w, x, active):
    x = conv(w, "conv1", x)
    for stage in range(1, 4):
        for k in blocks(w, f"block{stage}.layer"):
            at, stride = f"block{stage}.layer.{k}", 2 if stage > 1 and k == "0" else 1
            equal = f"{at}.convShortcut.weight" not in w
            y = active(norm(w, f"{at}.bn1", x))
            x = x if equal else conv(w, f"{at}.convShortcut", y, stride)
            y = active(norm(w, f"{at}.bn2", conv(w, f"{at}.conv1", y, stride)))
            x = x + conv(w, f"{at}.conv2", y)
    return head(w, "fc", active(norm(w, "bn1", x)))


def mobilenet(w, x):
    x = F.relu(norm(w, "bn1", conv(w, "conv1", x)))
    for k in blocks(w, "layers"):
        at = f"layers.{k}"
        stride = 2 if int(k) in (3, 6, 13) else 1
        y = F.relu(norm(w, f"{at}.bn1", conv(w, f"{at}.conv1", x)))
        y = F.relu(norm(w, f"{at}.bn2", conv(w, f"{at}.conv2", y, stride, y.shape[1])))
        y = norm(w, f"{at}.bn3", conv(w, f"{at}.conv3", y))
        if stride == 1 and f"{at}.shortcut.0.weight" in w:
            x = norm(w, f"{at}.shortcut.1", conv(w, f"{at}.shortcut.0", x))
        x = x + y if stride == 1 else y
    return head(w, "linear", F.relu(norm(w, "bn2", conv(w, "conv2", x))))


def vit(w, x, heads):
    n, side = len(x), w["patch_embed.proj.weight"].shape[-1]
    x = F.unfold(x, side, stride=side).transpose(1, 2) @ w["patch_embed.proj.weight"].flatten(1).T
    x = x + w["patch_embed.proj.bias"]
    x = torch.cat((w["cls_token"].repeat(n, 1, 1), x), 1) + w["pos_embed"]
    dim = x.shape[2]

    def layer(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(name, x):
        return F.layer_norm(x, (dim,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    for k in blocks(w, "blocks"):
        at = f"blocks.{k}"
        attention = nn.MultiheadAttention(dim, heads, batch_first=True).double()
        attention.load_state_dict(
            {
                "in_proj_weight": w[f"{at}.attn.qkv.weight"],
                "in_proj_bias": w[f"{at}.attn.qkv.bias"],
                "out_proj.weight": w[f"{at}.attn.proj.weight"],
                "out_proj.bias": w[f"{at}.attn.proj.bias"],
            }
        )
        y = normed(f"{at}.norm1", x)
        x = x + attention(y, y, y, need_weights=False)[0]
        x = x + layer(f"{at}.mlp.fc2", F.gelu(layer(f"{at}.mlp.fc1", normed(f"{at}.norm2", x))))
    return layer("head", normed("norm", x)[:, 0])


@pytest.mark.parametrize(
    ("family", "arguments", "formula"),
    [
        ("resnet", {}, resnet),
        ("resnet", {"depth": 50}, resnet),
        ("preact-resnet", {}, preact_resnet),
        ("wide-resnet", {"depth": 16, "width": 2, "activation": "relu"}, lambda w, x: wide_resnet(w, x, F.relu)),
        ("wide-resnet", {}, lambda w, x: wide_resnet(w, x, F.silu)),
        ("mobilenet-v2", {}, mobilenet),
        ("vit", {}, lambda w, x: vit(w, x, 3)),
        ("vit", {"patch": 8}, lambda w, x: vit(w, x, 3)),
    ],
)
def test_networks_compute_the_published_formulas(family, arguments, formula):
    model = small(family, **arguments).double()
    weights = {name.removeprefix("1."): value for name, value in model.state_dict().items()}
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), formula(weights, (images - 0.5) / 0.25), rtol=1e-8, atol=1e-9)


# How they begin


@pytest.mark.parametrize("name", ["resnet-18", "mobilenet-v2", "vit-s-16"])
def test_weights_begin_from_the_generator_alone(name):
    state = torch.get_rng_state()
    one, same, other = (
        named(name, "cifar10", generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (5, 5, 6)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_wide_networks_begin_as_in_trades():
    model = build(Architecture("wide-resnet", {"depth": 10, "width": 4, "input_shape": [3, 32, 32]}), 0.5, 0.5, 10)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            fan_out = layer.weight.numel() / layer.in_channels
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


# They learn, on published files


@pytest.mark.parametrize("name", ["resnet-18", "resnet-34", "resnet-50", "preactresnet-18", "mobilenet-v2", "vit-s-16"])
def test_networks_learn_from_cifar_files_and_are_evaluated(cifar, name):
    train, test = (data.load("cifar10", split, cifar, download=False) for split in ("train", "test"))
    model = named(name, train, generator=torch.Generator().manual_seed(1)).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.001)
    losses = []
    for _ in range(2):
        loss = F.cross_entropy(model(train.images[:4]), train.labels[:4])
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        optimiser.step()
    assert losses[-1] < losses[0]
    score = accuracy(model.eval(), test.images, test.labels)
    assert round(score * 12) == pytest.approx(score * 12)


@pytest.mark.parametrize("family", SMALL)
def test_input_gradients_can_be_trained_on(family):
    """Gradient alignment needs second derivatives: its gradient by autograd agrees with finite differences."""
    model = small(family).double()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images.requires_grad_(True)
    last = [parameter for parameter in model.parameters() if parameter.ndim == 2][-1]

    def alignment():
        loss = F.cross_entropy(model(images), torch.tensor([0, 1]))
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
        return gradient.square().sum()

    (slope,) = torch.autograd.grad(alignment(), last)
    step = torch.zeros_like(last)
    step.view(-1)[:5] = 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            last += sign * step
        values.append(alignment().item())
        with torch.no_grad():
            last -= sign * step
    assert (values[0] - values[1]) / 2e-6 == pytest.approx((slope * step).sum().item() * 1e6, rel=1e-5, abs=1e-12)


def test_attention_weights_are_a_mean_of_the_values():
    attention = Attention(12, 3)
    with torch.no_grad():
        attention.qkv.weight[:24] = 0  # Queries and keys: every token gets the same weight.
        attention.qkv.bias.zero_()
    x = torch.rand(2, 5, 12)
    mean = (x @ attention.qkv.weight[24:].T).mean(dim=1, keepdim=True).expand(-1, 5, -1)
    torch.testing.assert_close(attention(x), attention.proj(mean))


# Checkpoints


@pytest.mark.parametrize("family", [family for family in SMALL if family not in ("resnet", "preact-resnet")])
def test_networks_come_back_from_their_files(tmp_path, family):
    model, images = small(family, dropout=0.25), torch.rand(4, 3, 16, 16)
    save(tmp_path / "model.safetensors", model, card_for(model, dataset="cifar10"))
    state = torch.get_rng_state()
    read = load(tmp_path / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(read(images), model(images)) and not read.training
    assert read.card.architecture == {
        "name": family,
        "arguments": {**SMALL[family], "input_shape": [3, 16, 16], "dropout": 0.25},
    }
    save(tmp_path / "again.safetensors", read, read.card)
    one, other = (
        hashlib.sha256((tmp_path / f"{name}.safetensors").read_bytes()).digest() for name in ("model", "again")
    )
    assert one == other


@pytest.mark.parametrize("prefix", ["", "module.", "1."])
def test_state_dicts_of_other_programs_fit(tmp_path, prefix):
    model = named("mobilenet-v2", "cifar10", generator=torch.Generator().manual_seed(2)).eval()
    torch.save({f"{prefix}{name}": value for name, value in model[1].state_dict().items()}, tmp_path / "state")
    images = torch.rand(2, 3, 32, 32)
    read = load(tmp_path / "state", "mobilenet-v2", "cifar10", CIFAR10.mean, CIFAR10.std)
    assert torch.equal(read(images), model(images)) and read.card.dataset == "cifar10"
    with pytest.raises(UserError, match="for any data set"):
        load(tmp_path / "state", "mobilenet-v2")
    with pytest.raises(UserError, match=r"has shape \(10, 1280\)"):
        load(tmp_path / "state", "mobilenet-v2", "cifar100")


def test_counters_of_another_type_are_refused(tmp_path):
    state = named("mobilenet-v2", "cifar10")[1].state_dict()
    torch.save({**state, "bn1.num_batches_tracked": torch.tensor(0.5)}, tmp_path / "state")
    with pytest.raises(UserError, match=r"num_batches_tracked of .*int64"):
        load(tmp_path / "state", "mobilenet-v2", "cifar10", CIFAR10.mean, CIFAR10.std)


# What is not proved yet


def test_certify_refuses_a_convolutional_network_in_one_sentence(cifar):
    model = named("resnet-18", "cifar10")
    path = cifar / "resnet.safetensors"
    save(path, model, card_for(model, dataset="cifar10"))
    asked = ("--data", "cifar10", "--data-dir", cifar, "--images", 2, "--eps", 0.01, "--out", cifar / "run")
    result = run("certify", path, path, *asked)
    path.unlink()
    assert result.exit_code == 1 and len(result.output.splitlines()) == 1
    assert re.search(
        r"peration conv2d in layer 1\.conv1 \(Conv2d\) at line \d+ of resnet\.py is not supported; supported are flatten",
        result.output,
    )
