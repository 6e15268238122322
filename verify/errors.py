"""The one exception that `verify` raises for what a user can mend."""


class Unsupported(ValueError):
    """A network, region, method or option that `verify` does not accept; the message says what to do instead."""


class Unsound(AssertionError):
    """A FAITHUB came out below an EMPLB: one of the two is wrong, and the run must not go on."""
