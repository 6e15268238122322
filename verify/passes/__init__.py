"""A linear form of networks' outputs sent back to their shared input, and a point sent forth: for one network or several side by side."""
