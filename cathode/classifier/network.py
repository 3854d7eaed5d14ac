"""A network on piecewise-linear features, with all members of an ensemble trained in one batched pass."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cathode.classifier.settings import NetworkSettings
from cathode.errors import FitError
from cathode.numerics import Gradients, Pieces, one_thread

Array = NDArray[np.float64]

_ROWS = {"cpu": 1 << 13, "cuda": 1 << 17}  # scored at once


@dataclass(frozen=True)
class Encoding:
    """Each feature as the shares of its quantile bins that lie below it, standardised: 1 in bins below, 0 in bins above, linear inside.

    A network on the plain features bends slowly and needs long training to find a narrow box, which trees cut out at once; on these it is as good.
    Source: Gorishniy, Rubachev, Babenko, NeurIPS 2022, arXiv:2203.05556, eq. 1 (quantile bins). What lies beyond the training events is
    scored as their outermost ones, as by trees.

    Attributes:
        low: (d, bins) lower edges.
        width: (d, bins); of bins without width (repeated values) the smallest number there is, which makes a step of them.
        mean: (d * bins,) of the encoded training events.
        sd: likewise, 1 where there is none.
    """

    low: torch.Tensor
    width: torch.Tensor
    mean: torch.Tensor
    sd: torch.Tensor

    @classmethod
    def of(cls, x: Array, bins: int, device: str) -> Encoding:
        """With quantiles of training events `x (n, d)`."""
        edges = np.quantile(x, np.linspace(0, 1, bins + 1), axis=0).T.astype(np.float32)
        low = torch.tensor(edges[:, :-1], device=device)
        width = torch.tensor(np.maximum(np.diff(edges, axis=1), np.finfo(np.float32).tiny), device=device)
        plain = cls(low, width, torch.zeros(low.numel(), device=device), torch.ones(low.numel(), device=device))
        some = plain(torch.tensor(x[:: max(1, len(x) >> 16)], dtype=torch.float32, device=device))
        sd = some.std(dim=0)
        return cls(low, width, some.mean(dim=0), torch.where(sd > 0, sd, torch.ones_like(sd)))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Encoded features `(n, d * bins)` of `x (n, d)`."""
        inside = ((x[:, :, None] - self.low) / self.width).clamp(0.0, 1.0)
        return (inside.flatten(1) - self.mean) / self.sd


@dataclass(frozen=True)
class NetworkMember:
    """One member: its encoding and a (weight, bias) per layer, on the device that they were trained on."""

    encoding: Encoding
    layers: list[tuple[torch.Tensor, torch.Tensor]]

    @one_thread
    def predict(self, x: Array) -> NDArray[np.float32]:
        """Log-odds of class 1 `(n,)` for features `x (n, d)`."""
        device = self.encoding.low.device
        out = np.empty(len(x), dtype=np.float32)

        def one(part: slice) -> None:
            h = self.encoding(torch.tensor(x[part], dtype=torch.float32).to(device))
            for i, (w, b) in enumerate(self.layers):
                h = torch.addmm(b, h, w)
                h = torch.relu(h) if i + 1 < len(self.layers) else h
            out[part] = h[:, 0].cpu().numpy()

        with torch.no_grad():
            Pieces(_ROWS[device.type], "scoring").run(len(x), one)
        return out

    def kept(self) -> tuple[NDArray[np.float32], ...]:
        """The arrays of the encoding, and weight and bias of each layer."""
        e = self.encoding
        tensors = [e.low, e.width, e.mean, e.sd, *itertools.chain(*self.layers)]
        return tuple(t.cpu().numpy() for t in tensors)

    @classmethod
    def from_kept(cls, arrays: tuple[NDArray[np.float32], ...]) -> NetworkMember:
        """The member of these arrays, on the CPU."""
        low, width, mean, sd, *layers = (torch.tensor(a) for a in arrays)
        return cls(Encoding(low, width, mean, sd), list(zip(layers[::2], layers[1::2], strict=True)))


@one_thread
def fit_networks(
    settings: NetworkSettings, x: Array, y: Array, weight: Array, seeds: list[int], *, device: str = "cpu"
) -> list[NetworkMember]:
    """Train one network per seed; arguments as in `fit_trees`. Raises FitError when a loss is not finite.

    AdamW, its step size following one cosine cycle to 0, after which the last parameters are the best ones: no events are set aside to choose an epoch.
    Members share batches and differ in their first parameters.
    """
    s, n_members = settings, len(seeds)
    encode = Encoding.of(x, s.bins, device)
    inputs = torch.tensor(x, dtype=torch.float32, device=device)
    target = torch.tensor(y, dtype=torch.float32, device=device)
    w = torch.tensor(weight / weight.mean(), dtype=torch.float32, device=device)
    order = torch.Generator().manual_seed(seeds[0])
    sizes = [encode.mean.numel(), *([s.hidden] * s.layers), 1]
    params: list[torch.Tensor] = []
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for a, b in itertools.pairwise(sizes):
        weights = torch.stack([torch.randn(a, b, generator=g) * (2 / a) ** 0.5 for g in generators])
        params += [weights.to(device).requires_grad_(), torch.zeros(n_members, 1, b, device=device, requires_grad=True)]
    batch = min(len(x), s.batch)
    n_steps = max(1, len(x) // batch)
    optimiser = torch.optim.AdamW(params, lr=s.learning_rate, weight_decay=s.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, s.learning_rate, total_steps=s.epochs * n_steps, pct_start=0.1
    )

    def loss(index: torch.Tensor) -> torch.Tensor:
        """Weighted loss of these events, members added up."""
        h = encode(inputs[index]).expand(n_members, -1, -1)
        for i in range(0, len(params), 2):
            h = torch.baddbmm(params[i + 1], h, params[i])
            h = torch.relu(h) if i + 2 < len(params) else h
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            h[..., 0], target[index].expand(n_members, -1), reduction="none"
        )
        return (each * w[index]).sum() / batch

    step = Gradients(loss, params, batch, device)
    for epoch in range(s.epochs):
        index = torch.randperm(len(x), generator=order).to(device)
        total = torch.zeros((), device=device)
        for i in range(n_steps):
            total += step(index[i * batch : (i + 1) * batch])
            optimiser.step()
            schedule.step()
        if not torch.isfinite(total):
            raise FitError(f"network: training loss is {float(total)} in epoch {epoch + 1}, expected a finite number")
    fixed = [p.detach() for p in params]
    return [
        NetworkMember(encode, [(fixed[i][e], fixed[i + 1][e]) for i in range(0, len(fixed), 2)])
        for e in range(n_members)
    ]
