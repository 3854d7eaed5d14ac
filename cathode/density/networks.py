"""The conditional networks of the histogram density: what they compute in training, and an ensemble evaluated on one device.

Everything that is evaluated stays on the device between the features that go in and what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr
from torch.nn.functional import silu

from cathode.density.scaling import interpolated, tails
from cathode.density.settings import HistogramSettings
from cathode.numerics import Pieces, one_thread

if TYPE_CHECKING:
    from cathode.density.histogram import HistogramDensity

Array = NDArray[np.float64]

_ROWS = {"cpu": 1 << 12, "cuda": 1 << 17}  # at once: a layer's activations fit into the L2 cache; a card wants many
_TINY = 1e-12


class EvaluatedNetworks:
    """An ensemble on one device, with the verbs of a density that need no training.

    Attributes:
        device: where it computes.
        n_members: number of members E.
    """

    def __init__(self, density: HistogramDensity, device: str) -> None:
        s, self.device, self.n_members = density.settings, device, density.n_members
        self._scale, self._centre, self._spread = s.mass_scale, density.mass_mean, density.mass_sd
        stored = (density.w1, density.b1, density.w2, density.b2, density.w3, density.b3)
        self._params = [torch.from_numpy(p).to(device) for p in stored]
        self._basis, self._base = basis(s).to(device), log_base(s).to(device)
        inner = edges(s)
        self._edges = torch.from_numpy(inner).to(device)
        self._levels = torch.from_numpy(ndtr(np.concatenate([[-np.inf], inner, [np.inf]]))).to(device)
        self._x_table = torch.from_numpy(density.scaler.x_table).to(device)
        self._u_table = torch.from_numpy(density.scaler.u_table).to(device)
        self._log_jacobian = density.scaler.log_jacobian
        self._tails = tails(density.scaler.x_table, density.scaler.u_table)
        self._tails_inverse = tails(density.scaler.u_table, density.scaler.x_table)
        self._pieces = Pieces(_ROWS[device], "evaluating a density")

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """As `HistogramDensity.sample`."""
        rng = np.random.default_rng(seed)
        return self.decode(rng.random((len(m), len(self._x_table))), m, member=member)

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """As `HistogramDensity.decode`."""

        def of(z: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
            u = torch.empty_like(z)
            for j in range(z.shape[1]):
                cumulative, zj = self._cumulative(inputs, j, member), z[:, j].contiguous()
                cell = (cumulative[:, :-1] <= zj[:, None]).sum(dim=1)
                below, at = _cell(cumulative, cell)
                share = ((zj - below) / (at - below).clamp_min(_TINY)).clamp(0, 1)
                a, b = self._levels[cell], self._levels[cell + 1]
                u[:, j] = torch.special.ndtri((a + share * (b - a)).clamp(1e-9, 1 - 1e-9))
                if j + 1 < z.shape[1]:
                    inputs[:, j + 1] = u[:, j]
            return interpolated(u, self._u_table, self._x_table, self._tails_inverse)

        return self._on_pieces(of, z, m, fill=False)

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """As `HistogramDensity.encode`."""

        def of(u: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
            cells, z = torch.bucketize(u, self._edges, right=True), torch.empty_like(u)
            for j in range(u.shape[1]):
                cell = cells[:, j]
                below, at = _cell(self._cumulative(inputs, j, member), cell)
                a, b = self._levels[cell], self._levels[cell + 1]
                z[:, j] = below + (at - below) * (torch.special.ndtr(u[:, j]) - a) / (b - a)
            return z

        return self._on_pieces(of, x, m, fill=True)

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """As `HistogramDensity.log_prob`."""

        def of(u: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
            cells = torch.bucketize(u, self._edges, right=True)
            total = -0.5 * (u**2 + np.log(2 * np.pi)).sum(dim=1, keepdim=True)
            for j in range(u.shape[1]):
                relative = torch.log_softmax(self._row_logits(inputs, j, member) + self._base, dim=1) - self._base
                total += relative.gather(1, cells[:, j : j + 1])
            return torch.as_tensor(total)

        return np.asarray(self._log_jacobian(x) + self._on_pieces(of, x, m, fill=True)[:, 0])

    @one_thread
    def _on_pieces(
        self, work: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], values: Array, m: Array, *, fill: bool
    ) -> Array:
        """`work` of the values and the networks' inputs, piece by piece; with `fill`, values are features, and inputs hold them."""
        scaled = torch.from_numpy(self._scale * (np.log(m) - self._centre) / self._spread)
        out: list[torch.Tensor] = []

        def one(part: slice) -> None:
            v = torch.from_numpy(values[part]).to(self.device)
            if fill:
                v = interpolated(v, self._x_table, self._u_table, self._tails)
            inputs = torch.zeros(v.shape, dtype=torch.float32, device=self.device)
            inputs[:, 0] = scaled[part].to(self.device)
            if fill:
                inputs[:, 1:] = v[:, :-1]
            out.append(work(v, inputs).cpu())

        with torch.no_grad():
            self._pieces.run(len(m), one)
        return torch.cat(out).numpy() if out else np.empty(values.shape)

    def _row_logits(self, inputs: torch.Tensor, j: int, member: int) -> torch.Tensor:
        w1, b1, w2, b2, w3, b3 = (p[member, j] for p in self._params)
        hidden = silu(torch.addmm(b2, silu(torch.addmm(b1, inputs, w1)), w2))
        return torch.addmm(b3, hidden, w3) @ self._basis

    def _cumulative(self, inputs: torch.Tensor, j: int, member: int) -> torch.Tensor:
        p = torch.softmax(self._row_logits(inputs, j, member) + self._base, dim=1)
        # double: single precision has no room for the upper tail next to 1
        total = torch.cumsum(p, dim=1, dtype=torch.float64)
        return total / total[:, -1:]


def _cell(cumulative: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cumulative probability below and at the end of each row's cell."""
    below = cumulative.gather(1, (cell - 1).clamp_min(0)[:, None])[:, 0]
    return torch.where(cell > 0, below, 0.0), cumulative.gather(1, cell[:, None])[:, 0]


def edges(s: HistogramSettings) -> Array:
    """Inner edges of the bins, `(K - 1,)`."""
    return np.linspace(-s.half_range, s.half_range, s.bins - 1)


def log_base(s: HistogramSettings) -> torch.Tensor:
    """Log-probability of every bin under a standard normal, `(K,)`."""
    inner = np.concatenate([[-np.inf], edges(s), [np.inf]])
    upper, lower = log_ndtr(inner[1:]), log_ndtr(inner[:-1])
    return torch.tensor(upper + np.log1p(-np.exp(lower - upper)), dtype=torch.float32)


def basis(s: HistogramSettings) -> torch.Tensor:
    """Cosine terms over the bins, `(C, K)`, damped as 1 / order; the constant is left to the normalisation."""
    order = np.arange(1, s.harmonics + 1)[:, None]
    position = (np.arange(s.bins) + 0.5) / s.bins
    return torch.tensor(np.cos(np.pi * order * position) / order, dtype=torch.float32)


def inputs_of(u: Array, scaled_mass: Array) -> torch.Tensor:
    """What the networks see: the mass, and all features but the last."""
    return torch.tensor(np.concatenate([scaled_mass[:, None], u[:, :-1]], axis=1), dtype=torch.float32)


def mask(d: int) -> torch.Tensor:
    """Network j sees inputs 0 .. j: the mass and the features before j."""
    return torch.tril(torch.ones(d, d))[None, :, :, None]


def initial(s: HistogramSettings, d: int, seeds: Sequence[int]) -> list[torch.Tensor]:
    """Untrained weights of one member per seed, in the order and shapes of `HistogramDensity`; drawn on the CPU, whatever the device."""
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


def coefficients(params: list[torch.Tensor], inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Harmonic coefficients `(E, d, n, C)` of all members and features at inputs `(n, d)`."""
    w1, b1, w2, b2, w3, b3 = params
    e, d, f, h = w1.shape
    first = (w1 * mask).permute(2, 0, 1, 3).reshape(f, e * d * h)
    x = silu(torch.addmm(b1.reshape(1, -1), inputs, first))
    x = x.view(-1, e * d, h).transpose(0, 1)
    x = silu(torch.baddbmm(b2.reshape(e * d, 1, h), x, w2.reshape(e * d, h, h)))
    x = torch.baddbmm(b3.reshape(e * d, 1, -1), x, w3.reshape(e * d, h, -1))
    return x.view(e, d, len(inputs), -1)
