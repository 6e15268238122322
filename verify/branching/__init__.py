"""Branch and bound: of a measure over both networks, and of single neurons."""
