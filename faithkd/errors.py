"""The one exception that `faithkd` raises for what a user can mend."""

from faithkd.text import printable


class UserError(Exception):
    """A file, option or data set that cannot be used; the message is one sentence that says what to do."""

    def __str__(self) -> str:
        """The sentence; what it quotes from a file cannot command a terminal."""
        return printable(super().__str__(), lines=True)
