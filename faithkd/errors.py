"""The one exception that `faithkd` raises for what a user can mend."""


class UserError(Exception):
    """A file, option or data set that cannot be used; the message is one sentence that says what to do."""
