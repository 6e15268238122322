"""Networks as a caller gives them, read and checked for the regions that are asked about."""

from __future__ import annotations

from torch import nn

from verify.errors import Unsupported
from verify.network.graph import Network, ReluNetwork, check_network, check_pair
from verify.network.reading import POINTS
from verify.region import Region

Module = nn.Module | Network


def read(network: Module, region: Region) -> Network:
    """What a network computes, held against it at points of the region. Raises `Unsupported` where that cannot be read."""
    points = region.sample(POINTS) if isinstance(network, nn.Module) else None
    found = ReluNetwork.from_module(network, region.shape, points)
    check_network(found)
    if found.input_size != region.center.shape[1]:
        raise Unsupported(
            f"the network takes {found.input_size} inputs, but an image of shape {region.shape} has {region.center.shape[1]}"
        )
    return found.to(device=region.center.device)


def read_pair(teacher: Module, student: Module, region: Region) -> tuple[Network, Network]:
    """Both networks, which must read the same inputs and decide among the same classes."""
    pair = read(teacher, region), read(student, region)
    check_pair(*pair)
    return pair
