"""What a part of the soundness campaign counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.measuring.record import Row

# Examples of failures that a row keeps.
EXAMPLES = 6
COUNTS = ("checks", "violations", "refused", "crashed", "answers")


class Tally:
    """Checks by name; of these the failed ones, and calls that `verify` refused in a sentence or that crashed, with some examples."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.examples: list[str] = []

    def check(self, name: str, holds: bool, where: str = "", count: int = 1) -> None:
        """Count so many checks, and one that failed unless it holds."""
        self.checks[name] += count
        if not holds:
            self.violations[name] += 1
            self._example(f"{name}: {where}")

    def crash(self, name: str, error: Exception, where: str) -> None:
        """Count a call that ended with an exception that is no sentence for a user."""
        self.crashed[name] += 1
        self._example(f"{name}: {where}: {type(error).__name__}: {str(error)[:120]}")

    def count(self, name: str, answer: str) -> None:
        """Count an answer, right or wrong."""
        self.answers[f"{name} {answer}"] += 1

    def refuse(self, name: str) -> None:
        """Count a call that was refused in a sentence."""
        self.refused[name] += 1

    def row(self) -> Row:
        """Everything, for a record."""
        counts: dict[str, Any] = {
            name: dict(sorted(getattr(self, name).items())) for name in COUNTS if getattr(self, name)
        }
        return {**counts, "examples": self.examples} if self.examples else counts

    def _example(self, text: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)
