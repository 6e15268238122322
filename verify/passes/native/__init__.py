"""The loops that most of the time is spent in, in C, for the processor; every other device uses the tensor code."""
