"""Regions hold the exact ball, and their inner corners lie inside it exactly."""

from fractions import Fraction

import pytest
import torch

from verify import Region, Unsupported


@pytest.mark.parametrize("eps", [0.1 * 0.3081, 1e-9, 0.7, 8 / 255])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outer_and_inner_boxes_bracket_the_exact_ball(eps: float, dtype: torch.dtype) -> None:
    images = torch.rand((3, 6), generator=torch.Generator().manual_seed(0))
    images[0, :3] = torch.tensor([0.0, 1.0, 1e-9])
    region = Region.ball(images, eps)
    low_inner, high_inner = region.inner(dtype)
    for k, image in enumerate(images.double().tolist()):
        for j, value in enumerate(image):
            low = max(Fraction(value) - Fraction(eps), Fraction(0))
            high = min(Fraction(value) + Fraction(eps), Fraction(1))
            assert Fraction(region.lower[k, j].item()) <= low <= Fraction(low_inner[k, j].item())
            assert Fraction(high_inner[k, j].item()) <= high <= Fraction(region.upper[k, j].item())
            assert low_inner[k, j] <= high_inner[k, j]


def test_a_radius_a_channel_reaches_its_pixels() -> None:
    region = Region.ball(torch.full((1, 2, 2, 2), 0.5), torch.tensor([0.1, 0.2]))
    assert torch.allclose(region.upper[0], torch.tensor([0.6] * 4 + [0.7] * 4, dtype=torch.float64))


def test_without_a_valid_range_nothing_is_cut() -> None:
    region = Region.ball(torch.tensor([[0.0, 1.0]]), 0.5, None)
    assert torch.allclose(region.lower[0], torch.tensor([-0.5, 0.5], dtype=torch.float64))
    assert torch.allclose(region.upper[0], torch.tensor([0.5, 1.5], dtype=torch.float64))


@pytest.mark.parametrize(
    ("images", "eps", "valid_range", "message"),
    [
        (torch.zeros(2, 3), -0.1, (0.0, 1.0), "at least 0, but is -0.1"),
        (torch.zeros(2, 3), float("nan"), (0.0, 1.0), "finite number"),
        (torch.full((2, 3), 255.0), 0.1, (0.0, 1.0), "outside the valid range"),
        (torch.full((2, 3), torch.nan), 0.1, (0.0, 1.0), "NaN"),
        (torch.zeros(0, 3), 0.1, (0.0, 1.0), "n of at least 1"),
        (torch.zeros(2, 3), 0.1, (1.0, 0.0), "valid_range must be"),
        (torch.zeros(2, 3, 4), torch.tensor([0.1, 0.2]), (0.0, 1.0), "one a channel"),
    ],
)
def test_bad_regions_are_refused(
    images: torch.Tensor, eps: float, valid_range: tuple[float, float], message: str
) -> None:
    with pytest.raises(Unsupported, match=message):
        Region.ball(images, eps, valid_range)
