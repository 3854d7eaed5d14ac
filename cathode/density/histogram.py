"""Autoregressive histogram density: a fast conditional density p(x | m), trained as a whole ensemble at once.

Every feature is Gaussianised; then p(u | m) = prod_d p(u_d | m, u_1 .. u_{d-1}). Each factor is a histogram on fixed
bins whose logits are a short cosine series with coefficients from a small network: many bins resolve the shape, few
coefficients keep it smooth (free logits fit the noise of the training sample). The logits are relative to a standard
normal, and inside a bin the density keeps the normal's shape, so the untrained model *is* the standard normal and training
learns deviations from it. Sampling is exact and takes one pass per feature; log p is exact, with steps at the bin edges.

All members of an ensemble (bootstrap weights x initialisations) and all features are trained in one batched matrix
product: for networks this small a step costs dispatch and memory traffic, not arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from cathode.density.networks import EvaluatedNetworks, basis, coefficients, edges, initial, inputs_of, log_base, mask
from cathode.density.registry import Progress
from cathode.density.scaling import Gaussianiser
from cathode.density.settings import HistogramSettings
from cathode.errors import FitError
from cathode.numerics import Gradients, one_thread

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

_PIECE = 1 << 18  # events prepared for training at once


@dataclass(frozen=True)
class HistogramDensity:
    """A fitted ensemble of E members over d features with H hidden units.

    Attributes:
        settings: what it was fitted with.
        scaler: Gaussianisation, shared by all members.
        mass_mean, mass_sd: standardisation of log m.
        w1 (E, d, d, H), b1 (E, d, 1, H), w2 (E, d, H, H), b2 (E, d, 1, H), w3 (E, d, H, C), b3 (E, d, 1, C): weights, C harmonics.
            Input 0 of every network is the mass, input j the normal coordinate of feature j - 1; the network of
            feature j has zero weight on inputs above j.
    """

    Settings: ClassVar = HistogramSettings

    settings: HistogramSettings
    scaler: Gaussianiser
    mass_mean: float
    mass_sd: float
    w1: Float32
    b1: Float32
    w2: Float32
    b2: Float32
    w3: Float32
    b3: Float32

    @classmethod
    @one_thread
    def fit(
        cls,
        x: Array,
        m: Array,
        *,
        settings: HistogramSettings | None = None,
        weights: NDArray[np.generic] | None = None,
        seeds: Sequence[int] = (1,),
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> HistogramDensity:
        """Fit one member per seed on features `x (n, d)` at masses `m (n,)` (GeV, positive).

        Member e starts from `seeds[e]` and minimises the negative log-likelihood with weights `weights[e] (n,)` (None: all 1);
        Poisson(1) weights make it a bootstrap. The order of events is common to all members and drawn from the first seed.
        Raises FitError when the loss is not finite.
        """
        s, (n, d), n_members = settings or HistogramSettings(), x.shape, len(seeds)
        weights = np.ones((n_members, n)) if weights is None else weights
        scaler = Gaussianiser.fit(x)
        log_m = np.log(m)
        mean, sd = float(log_m.mean()), float(log_m.std())
        # single precision and small integers, filled in pieces: millions of events fit into memory once, not five times
        inputs, labels = torch.empty((n, d)), torch.empty((n, d), dtype=torch.int16)
        for start in range(0, n, _PIECE):
            part = slice(start, start + _PIECE)
            u = scaler.forward(x[part])
            inputs[part] = inputs_of(u, s.mass_scale * (log_m[part] - mean) / sd)
            labels[part] = torch.from_numpy(np.searchsorted(edges(s), u, side="right").astype(np.int16))
        inputs, labels, per_event = inputs.to(device), labels.to(device), torch.tensor(weights, device=device)
        mean_weight = torch.tensor(weights.mean(axis=1, keepdims=True), dtype=torch.float64, device=device)
        params = [p.to(device).requires_grad_() for p in initial(s, d, seeds)]
        mask_, base, basis_ = mask(d).to(device), log_base(s).to(device), basis(s).to(device)
        n_steps = max(1, n // s.batch)
        optimiser = torch.optim.AdamW(params, lr=s.learning_rate, weight_decay=s.weight_decay, fused=True)
        epochs = s.passes(n)
        total = max(4, epochs * n_steps)
        # a warm-up of exactly one step divides by zero inside torch
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, total_steps=total, pct_start=max(0.1, 2 / total)
        )

        def loss(index: torch.Tensor) -> torch.Tensor:
            """Sum over these events of the mean over the batch, of all members."""
            logits = coefficients(params, inputs[index], mask_) @ basis_ + base
            target = labels[index].long().T.expand(n_members, d, len(index))
            weight = (per_event[:, index].double() / mean_weight).float()
            nll = torch.nn.functional.cross_entropy(logits.reshape(-1, s.bins), target.reshape(-1), reduction="none")
            each = nll.view(n_members, d, len(index)).sum(dim=1) * weight
            return torch.as_tensor((each.sum(dim=1) / min(n, s.batch)).sum())

        step = Gradients(loss, params, min(n, s.batch), device)
        order = torch.Generator().manual_seed(seeds[0])
        for epoch in range(epochs):
            shuffled = torch.randperm(n, generator=order).to(device)
            running = torch.zeros((), device=device)
            for i in range(n_steps):
                running += step(shuffled[i * s.batch : (i + 1) * s.batch])
                optimiser.step()
                schedule.step()
            mean_loss = float(running) / n_steps / n_members
            if not np.isfinite(mean_loss):
                raise FitError(f"histogram density: loss is {mean_loss} in epoch {epoch + 1}, expected a finite number")
            if progress:
                progress(epoch + 1, epochs, mean_loss)
        params[0] = params[0] * mask_
        return cls(s, scaler, mean, sd, *(p.detach().cpu().contiguous().numpy() for p in params))

    @property
    def n_members(self) -> int:
        """Number of members E."""
        return len(self.w1)

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """Draw features `(n, d)` at masses `m (n,)` from one member."""
        return self.on("cpu").sample(m, member=member, seed=seed)

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """Features `(n, d)` whose conditional cumulative probabilities at masses `m` are `z (n, d)`, in [0, 1)."""
        return self.on("cpu").decode(z, m, member=member)

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Conditional cumulative probabilities `z (n, d)` of features `x (n, d)`: the inverse of `decode`."""
        return self.on("cpu").encode(x, m, member=member)

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Log p(x | m) `(n,)` of one member, per unit of the features."""
        return self.on("cpu").log_prob(x, m, member=member)

    def on(self, device: str) -> EvaluatedNetworks:
        """The same ensemble, to be evaluated on `device`."""
        return EvaluatedNetworks(self, device)
