"""Seeds derived by label from one run seed, so that no stage shares a random stream and none depends on order."""

import hashlib


def derive_seed(seed: int, *labels: object) -> int:
    """A 31-bit seed for the stage named by `labels`: the head of SHA-256 over `seed` and the labels.

    >>> derive_seed(1, "fit_density", "m3500")
    1564531223
    """
    text = "/".join([str(seed), *(str(label) for label in labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
