"""Trained classifiers as they are kept with a run: text of LightGBM or arrays of numbers, never a pickle."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class Member(Protocol):
    """One trained classifier of an ensemble."""

    def predict(self, x: Array) -> Float32:
        """Log-odds `(n,)` of class 1 for features `x (n, d)`."""

    def kept(self) -> str | tuple[Float32, ...]:
        """What it is rebuilt from: text, or arrays."""


@dataclass(frozen=True)
class FoldClassifier:
    """The members that were trained without the events of one fold.

    Attributes:
        text: LightGBM's text of each member, as compressed JSON; empty for networks.
        arrays: per network, what it is rebuilt from; empty for trees.
    """

    text: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    arrays: tuple[tuple[Float32, ...], ...] = ()

    @classmethod
    def of(cls, members: Sequence[Member]) -> FoldClassifier:
        """What is kept of trained members."""
        kept = [member.kept() for member in members]
        texts = [k for k in kept if isinstance(k, str)]
        if texts:
            return cls(np.frombuffer(zlib.compress(json.dumps(texts).encode(), 9), dtype=np.uint8))
        return cls(arrays=tuple(k for k in kept if not isinstance(k, str)))

    def score(self, x: Array) -> Float32:
        """Mean log-odds `(n,)` of the members for features `x (n, d)`: to the last digit what they gave when they were trained, on the same device."""
        members: list[Member] = []
        if len(self.text):
            from cathode.classifier.trees import TreeMember

            members = [TreeMember.from_kept(text) for text in json.loads(zlib.decompress(self.text.tobytes()))]
        else:
            from cathode.classifier.network import NetworkMember

            members = [NetworkMember.from_kept(arrays) for arrays in self.arrays]
        out = np.empty((len(x), len(members)), dtype=np.float32)
        for e, member in enumerate(members):
            out[:, e] = member.predict(x)
        return np.asarray(out.mean(axis=1))
