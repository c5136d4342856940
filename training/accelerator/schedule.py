"""The learning rate by the share of the time that is used up, so that it reaches zero however fast the machine is."""

from __future__ import annotations


def progress(now: float, started: float, deadline: float) -> float:
    """The share of the time that is used up; 1 or more when it is over, also where compiling took all of it."""
    return (now - started) / (deadline - started) if deadline > started else 1.0


def rate_factor(progress: float, step: int, warmup: int, decay: float) -> float:
    """progress: 0 to 1; step: since the run began or went on; warmup: steps; decay: the last share of the time, linear to zero."""
    return max(0.0, min(1.0, (step + 1) / warmup, (1 - progress) / decay))
