"""How sure must the exit be before its token may be shown?

The exit's *confidence* is the probability it gives its own best token; that token *survives* when it is the
full model's best. Everything here works on scores of held-out tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PRECISIONS = (0.9, 0.95)
SURE = 0.5  # "where the full model is sure": its top probability is at least this
SMALLEST_BIN = 10


class Scores(NamedTuple):
    """One value per predicted token."""

    log_probability: np.ndarray  # of the true token, full model, nats
    correct: np.ndarray
    top: np.ndarray  # the full model's top probability
    exit_log_probability: np.ndarray
    confidence: np.ndarray  # the exit's top probability
    survives: np.ndarray
    tolerated: np.ndarray

    def pick(self, mask: np.ndarray) -> "Scores":
        return Scores(*(values[mask] for values in self))


def bound_for(scores: Scores, precision: float, smallest: int = 30) -> float:
    """Smallest confidence from which on (and above) the exit survives with this precision; 1.01 if none."""
    order = np.argsort(-scores.confidence)
    rate = np.cumsum(scores.survives[order]) / np.arange(1, order.size + 1)
    good = np.flatnonzero((rate >= precision) & (np.arange(order.size) >= smallest - 1))
    return float(scores.confidence[order][good[-1]]) if good.size else 1.01


def survival_bins(scores: Scores, edges: np.ndarray = np.linspace(0, 1, 21)) -> list[dict]:
    """Measured survival per confidence bin."""
    bins = []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (scores.confidence >= low) & ((scores.confidence < high) | (high == 1))
        count = int(inside.sum())
        bins.append({"from": round(float(low), 2), "to": round(float(high), 2), "count": count,
                     "survival": round(float(scores.survives[inside].mean()), 4) if count else None,
                     "tolerated": round(float(scores.tolerated[inside].mean()), 4) if count else None})
    return bins


def exit_summary(test: Scores, calibration: Scores) -> dict:
    sure = test.top >= SURE
    summary = {
        "tokens": int(test.top.size),
        "agreement": float(test.survives.mean()),
        "agreement_tolerant": float(test.tolerated.mean()),
        "agreement_where_sure": float(test.survives[sure].mean()) if sure.any() else None,
        "sure_share": float(sure.mean()),
        "full_top1": float(test.correct.mean()),
    }
    for precision in PRECISIONS:
        bound = bound_for(calibration, precision)
        shown = test.confidence >= bound
        summary[f"at_{precision}"] = {"bound": bound, "share": float(shown.mean()),
                                      "precision": float(test.survives[shown].mean()) if shown.any() else None,
                                      "precision_tolerant": float(test.tolerated[shown].mean()) if shown.any() else None}
    return summary


class Steps(NamedTuple):
    """A rising step function from confidence to survival; `survival[i]` holds from `confidence[i]` on."""

    confidence: list[float]
    survival: list[float]

    def at(self, confidence: np.ndarray) -> np.ndarray:
        index = np.searchsorted(self.confidence, confidence, side="right") - 1
        return np.where(index < 0, 0.0, np.array(self.survival)[np.maximum(index, 0)])


def isotonic(scores: Scores) -> Steps:
    """Pool-adjacent-violators (Zadrozny and Elkan 2002) over small bins, as packages/engine fits its calibrations.

    Each pool counts one failure and one success more than were seen, so that few samples never give certainty.
    """
    order = np.argsort(scores.confidence, kind="stable")
    confidence, survived = scores.confidence[order], scores.survives[order]
    size = max(SMALLEST_BIN, order.size // 40)
    rate = lambda pool: (pool[1] + 1) / (pool[2] + 2)
    pools: list[list[float]] = []  # [lowest confidence, survived, count]
    for start in range(0, max(1, order.size - size + 1), size):
        end = start + size if order.size - (start + size) >= size else order.size
        pools.append([float(confidence[start]), float(survived[start:end].sum()), float(end - start)])
        while len(pools) > 1 and rate(pools[-2]) >= rate(pools[-1]):
            _, right, count = pools.pop()
            pools[-1][1] += right
            pools[-1][2] += count
    return Steps([round(pool[0], 5) for pool in pools], [round(rate(pool), 5) for pool in pools])


def calibration_data(later: tuple[Scores, Scores], first: tuple[Scores, Scores], fitted_on: list[str]) -> dict:
    """What the engine needs to trust the exit; each pair is (test, calibration) scores."""
    groups = {"first": first, "later": later}
    steps = {name: isotonic(calibration) for name, (_, calibration) in groups.items()}
    return {
        "survives": "the exit's best token is the full model's best token",
        "confidence": "the exit's top probability (softmax of its logits)",
        "first": "the first token of a one-line fill-in-the-middle completion; later: every token of a file, left to right",
        "fitted_on": fitted_on,
        "samples": {name: int(calibration.top.size) for name, (_, calibration) in groups.items()},
        "agreement": {name: round(float(test.survives.mean()), 4) for name, (test, _) in groups.items()},
        "shown": {name: round(float((steps[name].at(test.confidence) >= 0.9).mean()), 4) for name, (test, _) in groups.items()},
        "bounds": {name: {str(p): round(bound_for(calibration, p), 4) for p in PRECISIONS} for name, (_, calibration) in groups.items()},
        "calibration": {name: steps[name]._asdict() for name in groups},
        "bins": {name: survival_bins(calibration) for name, (_, calibration) in groups.items()},
    }
