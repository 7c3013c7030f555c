"""Length penalties: what a log-probability is divided by, so that long and short hypotheses can be compared."""


def gnmt_length_penalty(length: int, alpha: float) -> float:
    """Return lp(Y) = ((5 + |Y|) / 6) ** alpha (Wu et al. 2016, eq. 14).

    Args:
        length: |Y|, the number of tokens of the hypothesis. Attento counts the eos, whose log-probability is in the sum
            too: the empty hypothesis has |Y| = 1 and a penalty of 1.
        alpha: 0 makes every penalty 1; larger values favour longer hypotheses.
    """
    return float(((5 + length) / 6) ** alpha)
