"""Initial values of Transformers, those of the published networks at their width."""

from __future__ import annotations

import math


def usual_std(width: int) -> float:
    """σ of normal initial weights: 0.02 at 768, the width of GPT-2 and BERT as published, and as 1/√width elsewhere.

    What a matrix makes of states then has the same size at any width: the scores of tokens, those of attention, and what
    arrives of other tokens. With 0.02 in a network of 160 all of them begin so small that learning is late to begin.
    """
    return 0.02 * math.sqrt(768 / width)
