"""The published classifier network, with all members of an ensemble trained in one batched pass."""

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

_ROWS = {"cpu": 1 << 14, "cuda": 1 << 18}  # scored at once


@dataclass(frozen=True)
class NetworkMember:
    """One member: standardisation and its best epochs, each a list of (weight, bias), on the device that they were trained on."""

    mean: Array
    sd: Array
    epochs: list[list[tuple[torch.Tensor, torch.Tensor]]]

    @one_thread
    def predict(self, x: Array) -> NDArray[np.float32]:
        """Mean log-odds over the kept epochs `(n,)` for features `x (n, d)`."""
        device = self.epochs[0][0][0].device
        out = np.empty(len(x), dtype=np.float32)

        def one(part: slice) -> None:
            z = torch.tensor((x[part] - self.mean) / self.sd, dtype=torch.float32).to(device)
            total = torch.zeros(len(z), device=device)
            for layers in self.epochs:
                h = z
                for i, (w, b) in enumerate(layers):
                    h = torch.addmm(b, h, w)
                    h = torch.relu(h) if i + 1 < len(layers) else h
                total += h[:, 0]
            out[part] = total.cpu().numpy()

        with torch.no_grad():
            Pieces(_ROWS[device.type], "scoring").run(len(x), one)
        return out / np.float32(len(self.epochs))


@one_thread
def fit_networks(
    settings: NetworkSettings, x: Array, y: Array, weight: Array, seeds: list[int], *, device: str = "cpu"
) -> list[NetworkMember]:
    """Train one network per seed; arguments as in `fit_trees`. Raises FitError when a loss is not finite."""
    s, n_members = settings, len(seeds)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    inputs = torch.tensor((x - mean) / sd, dtype=torch.float32, device=device)
    target = torch.tensor(y, dtype=torch.float32, device=device)
    w = torch.tensor(weight / weight.mean(), dtype=torch.float32, device=device)
    order = torch.Generator().manual_seed(seeds[0])
    shuffled = torch.randperm(len(x), generator=order).to(device)
    n_val = int(s.validation * len(x))
    val, train = shuffled[:n_val], shuffled[n_val:]
    sizes = [x.shape[1], *([s.hidden] * s.layers), 1]
    params: list[torch.Tensor] = []
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for a, b in itertools.pairwise(sizes):
        weights = torch.stack([torch.randn(a, b, generator=g) * (2 / a) ** 0.5 for g in generators])
        params += [weights.to(device).requires_grad_(), torch.zeros(n_members, 1, b, device=device, requires_grad=True)]
    optimiser = torch.optim.Adam(params, lr=s.learning_rate, fused=True)
    n_steps = max(1, len(train) // s.batch)

    def losses(index: torch.Tensor) -> torch.Tensor:
        """Sum of the weighted losses of these events, per member."""
        h = inputs[index].expand(n_members, -1, -1)
        for i in range(0, len(params), 2):
            h = torch.baddbmm(params[i + 1], h, params[i])
            h = torch.relu(h) if i + 2 < len(params) else h
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            h[..., 0], target[index].expand(n_members, -1), reduction="none"
        )
        return (each * w[index]).sum(dim=1)

    batch = min(len(train), s.batch)
    step = Gradients(lambda index: (losses(index) / batch).sum(), params, batch, device)
    history: list[tuple[Array, list[torch.Tensor]]] = []
    for epoch in range(s.epochs):
        index = train[torch.randperm(len(train), generator=order).to(device)]
        for i in range(n_steps):
            step(index[i * s.batch : (i + 1) * s.batch])
            optimiser.step()
        with torch.no_grad():
            parts = torch.split(val, 1 << 14)  # of all members at once
            score = torch.stack([losses(part) for part in parts]).sum(dim=0).cpu().double().numpy() / len(val)
        if not np.all(np.isfinite(score)):
            raise FitError(f"network: validation loss is {score} in epoch {epoch + 1}, expected finite numbers")
        history.append((score, [p.detach().clone() for p in params]))
    members = []
    for e in range(n_members):
        best = sorted(range(len(history)), key=lambda i: float(history[i][0][e]))[: s.average_epochs]
        epochs = [
            [(history[i][1][j][e], history[i][1][j + 1][e]) for j in range(0, len(params), 2)] for i in sorted(best)
        ]
        members.append(NetworkMember(mean, sd, epochs))
    return members
