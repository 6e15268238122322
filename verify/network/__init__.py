"""What is computed: a network as affine layers and activations, read from what a module does."""

from verify.network.graph import Network, ReluNetwork
from verify.network.given import Module, read, read_pair

__all__ = ["Module", "Network", "ReluNetwork", "read", "read_pair"]
