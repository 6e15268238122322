"""Interval and CROWN bounds against auto_LiRPA 0.7.1, and the exact rows of a mixed-integer program against CROWN."""

import numpy as np
import pytest
import torch

import verify
from tests.support import REFERENCE, reference_network, reference_region


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as file:
        return dict(file)


def differences(name: str, eps: float, method: str, data: dict[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds (12, 9) of z_j - z_c for j != c in rising order, as the reference stores them."""
    lower, upper = verify.logit_differences(reference_network(name), reference_region(eps), method)
    classes = torch.from_numpy(data[f"{name}.pred"]).long()
    others = torch.arange(10) != classes[:, None]
    rows = torch.arange(len(classes))
    return lower[rows, classes][others].reshape(-1, 9), upper[rows, classes][others].reshape(-1, 9)


@pytest.mark.parametrize("name", ["rt", "ard", "fd"])
@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize(("method", "key"), [("interval", "IBP"), ("crown", "CROWN")])
def test_interval_and_crown_agree(name: str, k: int, method: str, key: str, data: dict[str, np.ndarray]) -> None:
    for ours, side in zip(differences(name, float(data["eps"][k]), method, data), ("lower", "upper"), strict=True):
        theirs = torch.from_numpy(data[f"{name}.{key}.diff_{side}.eps{k}"])
        assert ((ours - theirs).abs() <= 1e-6 * (1 + theirs.abs())).all()


@pytest.mark.parametrize("name", ["rt", "ard", "fd"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_optimised_slopes_are_as_tight(name: str, k: int, data: dict[str, np.ndarray]) -> None:
    eps = float(data["eps"][k])
    _, plain = differences(name, eps, "crown", data)
    _, ours = differences(name, eps, "alpha-crown", data)
    theirs = torch.from_numpy(data[f"{name}.alpha-CROWN.diff_upper.eps{k}"])
    assert (ours <= plain + 1e-9).all()
    assert ((ours - theirs).abs() <= 5e-3 * (1 + theirs.abs())).all()


@pytest.mark.parametrize("name", ["rt", "ard"])
@pytest.mark.parametrize("method", ["interval", "crown-boxes", "crown", "alpha-crown"])
def test_no_bound_is_below_an_exact_row(name: str, method: str, data: dict[str, np.ndarray]) -> None:
    _, upper = differences(name, 0.1, method, data)
    rows = torch.from_numpy(data[f"{name}.exact.row"])
    exact = torch.from_numpy(data[f"{name}.exact.diff_upper.eps1"])
    bound = upper[: len(rows)].gather(1, rows[:, None])[:, 0]
    assert (bound >= exact - 1e-4).all()
