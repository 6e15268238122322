"""What a network computes: affine layers, activations, and how both are read."""
