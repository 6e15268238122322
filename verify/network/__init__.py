"""What is computed: a network as affine layers and activations, read from what a module does."""

from verify.network.given import Module, read, read_pair
from verify.network.graph import Network, ReluNetwork

__all__ = ["Module", "Network", "ReluNetwork", "read", "read_pair"]
