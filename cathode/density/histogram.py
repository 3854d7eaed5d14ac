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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri
from torch.nn.functional import silu

from cathode.density.registry import Progress
from cathode.density.scaling import Gaussianiser
from cathode.density.settings import HistogramSettings
from cathode.errors import FitError
from cathode.numerics import one_thread

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

_CHUNK = 4096  # rows evaluated at once: keeps a layer's activations inside the L2 cache
_PIECE = 1 << 18  # events prepared for training at once
_TINY = 1e-12


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
            inputs[part] = _inputs(u, s.mass_scale * (log_m[part] - mean) / sd)
            labels[part] = torch.from_numpy(np.searchsorted(_edges(s), u, side="right").astype(np.int16))
        inputs, labels, per_event = inputs.to(device), labels.to(device), torch.tensor(weights, device=device)
        mean_weight = torch.tensor(weights.mean(axis=1, keepdims=True), dtype=torch.float64, device=device)
        params = [p.to(device).requires_grad_() for p in _initial(s, d, seeds)]
        mask, base, basis = _mask(d).to(device), _log_base(s).to(device), _basis(s).to(device)
        n_steps = max(1, n // s.batch)
        optimiser = torch.optim.AdamW(params, lr=s.learning_rate, weight_decay=s.weight_decay, fused=True)
        epochs = max(s.epochs, -(-s.steps // n_steps))
        total = max(4, epochs * n_steps)
        # a warm-up of exactly one step divides by zero inside torch
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, total_steps=total, pct_start=max(0.1, 2 / total)
        )
        order = torch.Generator().manual_seed(seeds[0])
        for epoch in range(epochs):
            shuffled = torch.randperm(n, generator=order).to(device)
            running = torch.zeros((), device=device)
            for step in range(n_steps):
                index = shuffled[step * s.batch : (step + 1) * s.batch]
                logits = _coefficients(params, inputs[index], mask) @ basis + base
                target = labels[index].long().T.expand(n_members, d, len(index))
                weight = (per_event[:, index].double() / mean_weight).float()
                nll = torch.nn.functional.cross_entropy(
                    logits.reshape(-1, s.bins), target.reshape(-1), reduction="none"
                ).view(n_members, d, len(index))
                loss = (nll.sum(dim=1) * weight).mean(dim=1).sum()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                running += loss.detach()
            mean_loss = float(running) / n_steps / n_members
            if not np.isfinite(mean_loss):
                raise FitError(f"histogram density: loss is {mean_loss} in epoch {epoch + 1}, expected a finite number")
            if progress:
                progress(epoch + 1, epochs, mean_loss)
        params[0] = params[0] * mask
        return cls(s, scaler, mean, sd, *(p.detach().cpu().contiguous().numpy() for p in params))

    @property
    def n_members(self) -> int:
        """Number of members E."""
        return len(self.w1)

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """Draw features `(n, d)` at masses `m (n,)` from one member."""
        rng = np.random.default_rng(seed)
        return self.decode(rng.random((len(m), self.w1.shape[1])), m, member=member)

    @one_thread
    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """Features `(n, d)` whose conditional cumulative probabilities at masses `m` are `z (n, d)`, in [0, 1)."""
        edges_level, d = self._edge_levels(), z.shape[1]
        u = np.empty(z.shape)
        for part, inputs in self._chunks(np.zeros(z.shape), m):
            rows = np.arange(part.stop - part.start)
            for j in range(d):
                cumulative = self._cumulative(inputs, j, member)
                cell = (cumulative[:, :-1] <= z[part, j][:, None]).sum(axis=1)
                below = np.where(cell > 0, cumulative[rows, cell - 1], 0.0)
                share = (z[part, j] - below) / np.maximum(cumulative[rows, cell] - below, _TINY)
                a, b = edges_level[cell], edges_level[cell + 1]
                u[part, j] = ndtri(np.clip(a + np.clip(share, 0, 1) * (b - a), 1e-9, 1 - 1e-9))
                if j + 1 < d:
                    inputs[:, j + 1] = torch.from_numpy(u[part, j])
        return self.scaler.inverse(u)

    @one_thread
    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Conditional cumulative probabilities `z (n, d)` of features `x (n, d)`: the inverse of `decode`."""
        edges_level, u = self._edge_levels(), self.scaler.forward(x)
        cells = np.searchsorted(_edges(self.settings), u, side="right")
        z = np.empty(x.shape)
        for part, inputs in self._chunks(u, m):
            rows = np.arange(part.stop - part.start)
            for j in range(x.shape[1]):
                cumulative, cell = self._cumulative(inputs, j, member), cells[part, j]
                below = np.where(cell > 0, cumulative[rows, cell - 1], 0.0)
                a, b = edges_level[cell], edges_level[cell + 1]
                z[part, j] = below + (cumulative[rows, cell] - below) * (ndtr(u[part, j]) - a) / (b - a)
        return z

    @one_thread
    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Log p(x | m) `(n,)` of one member, per unit of the features."""
        u = self.scaler.forward(x)
        cells = np.searchsorted(_edges(self.settings), u, side="right")
        base = _log_base(self.settings)
        out = self.scaler.log_jacobian(x) - 0.5 * (u**2 + np.log(2 * np.pi)).sum(axis=1)
        with torch.no_grad():
            for part, inputs in self._chunks(u, m):
                for j in range(x.shape[1]):
                    relative = torch.log_softmax(self._row_logits(inputs, j, member) + base, dim=1) - base
                    out[part] += relative.numpy()[np.arange(len(relative)), cells[part, j]]
        return np.asarray(out)

    def _edge_levels(self) -> Array:
        return ndtr(np.concatenate([[-np.inf], _edges(self.settings), [np.inf]]))

    def _chunks(self, u: Array, m: Array) -> Iterator[tuple[slice, torch.Tensor]]:
        scaled = self.settings.mass_scale * (np.log(m) - self.mass_mean) / self.mass_sd
        for start in range(0, len(m), _CHUNK):
            part = slice(start, min(start + _CHUNK, len(m)))
            yield part, _inputs(u[part], scaled[part])

    def _row_logits(self, inputs: torch.Tensor, j: int, member: int) -> torch.Tensor:
        w1, b1, w2, b2, w3, b3 = (
            torch.from_numpy(p[member, j]) for p in (self.w1, self.b1, self.w2, self.b2, self.w3, self.b3)
        )
        hidden = silu(torch.addmm(b2, silu(torch.addmm(b1, inputs, w1)), w2))
        return torch.addmm(b3, hidden, w3) @ _basis(self.settings)

    def _cumulative(self, inputs: torch.Tensor, j: int, member: int) -> Array:
        with torch.no_grad():
            p = torch.softmax(self._row_logits(inputs, j, member) + _log_base(self.settings), dim=1)
            # double: single precision has no room for the upper tail next to 1
            total = np.cumsum(p.numpy(), axis=1, dtype=np.float64)
            return np.asarray(total / total[:, -1:])


def _edges(s: HistogramSettings) -> Array:
    return np.linspace(-s.half_range, s.half_range, s.bins - 1)


def _log_base(s: HistogramSettings) -> torch.Tensor:
    """Log-probability of every bin under a standard normal, `(K,)`."""
    edges = np.concatenate([[-np.inf], _edges(s), [np.inf]])
    upper, lower = log_ndtr(edges[1:]), log_ndtr(edges[:-1])
    return torch.tensor(upper + np.log1p(-np.exp(lower - upper)), dtype=torch.float32)


def _basis(s: HistogramSettings) -> torch.Tensor:
    """Cosine terms over the bins, `(C, K)`, damped as 1 / order; the constant is left to the normalisation."""
    order = np.arange(1, s.harmonics + 1)[:, None]
    position = (np.arange(s.bins) + 0.5) / s.bins
    return torch.tensor(np.cos(np.pi * order * position) / order, dtype=torch.float32)


def _inputs(u: Array, scaled_mass: Array) -> torch.Tensor:
    return torch.tensor(np.concatenate([scaled_mass[:, None], u[:, :-1]], axis=1), dtype=torch.float32)


def _mask(d: int) -> torch.Tensor:
    """Network j sees inputs 0 .. j: the mass and the features before j."""
    return torch.tril(torch.ones(d, d))[None, :, :, None]


def _initial(s: HistogramSettings, d: int, seeds: Sequence[int]) -> list[torch.Tensor]:
    members = []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed)
        members.append(
            [
                torch.randn(d, d, s.hidden, generator=g) * (2 / d) ** 0.5,
                torch.zeros(d, 1, s.hidden),
                torch.randn(d, s.hidden, s.hidden, generator=g) * (2 / s.hidden) ** 0.5,
                torch.zeros(d, 1, s.hidden),
                torch.zeros(d, s.hidden, s.harmonics),
                torch.zeros(d, 1, s.harmonics),
            ]
        )
    return [torch.stack(parts) for parts in zip(*members, strict=True)]


def _coefficients(params: list[torch.Tensor], inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Harmonic coefficients `(E, d, n, C)` of all members and features at inputs `(n, d)`."""
    w1, b1, w2, b2, w3, b3 = params
    e, d, f, h = w1.shape
    first = (w1 * mask).permute(2, 0, 1, 3).reshape(f, e * d * h)
    x = silu(torch.addmm(b1.reshape(1, -1), inputs, first))
    x = x.view(-1, e * d, h).transpose(0, 1)
    x = silu(torch.baddbmm(b2.reshape(e * d, 1, h), x, w2.reshape(e * d, h, h)))
    x = torch.baddbmm(b3.reshape(e * d, 1, -1), x, w3.reshape(e * d, h, -1))
    return x.view(e, d, len(inputs), -1)
