"""Two networks on one input: linear bounds of a measure through both at once."""
