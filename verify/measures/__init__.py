"""What of two networks is compared: the queries of a measure, its bounds from what is known, and its linear bounds for the joint pass."""
