"""Prelude trained on a lent accelerator: what travels there, the run within a wall-clock budget, what comes back."""
