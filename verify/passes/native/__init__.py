"""The two loops that branch and bound spends its time in, in C, for the processor; every other device uses the tensor code."""
