"""Conditional normalizing flows p(x | m) on nflows: the published masked autoregressive flow and a spline flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from cathode.density.registry import Progress
from cathode.density.scaling import Gaussianiser, LogitScaler
from cathode.density.settings import FlowSettings
from cathode.errors import FitError
from cathode.numerics import Pieces, is_short_of_memory, one_thread, too_little_memory

if TYPE_CHECKING:
    from nflows.flows.base import Flow

Array = NDArray[np.float64]

_ROWS = {"cpu": 1 << 14, "cuda": 1 << 16}  # evaluated at once


@dataclass(frozen=True)
class FlowDensity:
    """A fitted ensemble of flows, each a set of checkpoints.

    Attributes:
        settings: what it was fitted with.
        scaler: feature scaling, shared by all members.
        mass_mean, mass_sd: standardisation of log m.
        states: per member, per checkpoint, the network's arrays by name.
    """

    Settings: ClassVar = FlowSettings

    settings: FlowSettings
    scaler: Gaussianiser | LogitScaler
    mass_mean: float
    mass_sd: float
    states: list[list[dict[str, NDArray[np.generic]]]]

    @classmethod
    @one_thread
    def fit(
        cls,
        x: Array,
        m: Array,
        *,
        settings: FlowSettings | None = None,
        weights: NDArray[np.generic] | None = None,
        seeds: Sequence[int] = (1,),
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> FlowDensity:
        """Fit one member per seed; arguments as in `HistogramDensity.fit`. Raises FitError when a loss is not finite."""
        settings = FlowSettings(
            **vars(settings or FlowSettings())
        )  # as files keep it, whoever's defaults it was made of
        weights = np.ones((len(seeds), len(x))) if weights is None else weights
        scaler = LogitScaler.fit(x) if settings.scaling == "logit" else Gaussianiser.fit(x)
        log_m = np.log(m)
        mean, sd = float(log_m.mean()), float(log_m.std())
        try:
            u = torch.tensor(scaler.forward(x), dtype=torch.float32, device=device)
            c = torch.tensor((log_m - mean) / sd, dtype=torch.float32, device=device)[:, None]
            w = torch.tensor(weights / weights.mean(axis=1, keepdims=True), dtype=torch.float32, device=device)
            states = [_train(settings, u, c, w[e], seed, device, progress) for e, seed in enumerate(seeds)]
        except RuntimeError as error:
            if not is_short_of_memory(error):
                raise
            raise too_little_memory("flow", len(x)) from error  # normalised as a whole: nothing to halve
        return cls(settings, scaler, mean, sd, states)

    @property
    def n_members(self) -> int:
        """Number of members E."""
        return len(self.states)

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """Draw features `(n, d)` at masses `m (n,)`; consecutive shares come from the member's checkpoints."""
        return self.on("cpu").sample(m, member=member, seed=seed)

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """Features `(n, d)` at masses `m (n,)` of normal coordinates `z (n, d)`; rows share checkpoints with `encode`."""
        return self.on("cpu").decode(z, m, member=member)

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Normal coordinates `z (n, d)` of features `x (n, d)` at masses `m (n,)`: the inverse of `decode`."""
        return self.on("cpu").encode(x, m, member=member)

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """Log p(x | m) `(n,)`: the equal mixture of the member's checkpoints."""
        return self.on("cpu").log_prob(x, m, member=member)

    def on(self, device: str) -> EvaluatedFlows:
        """The same ensemble, to be evaluated on `device`."""
        return EvaluatedFlows(self, device)


class EvaluatedFlows:
    """An ensemble of flows on one device, with the verbs of a density that need no training.

    Attributes:
        device: where it computes.
        n_members: number of members E.
    """

    def __init__(self, density: FlowDensity, device: str) -> None:
        self._density, self.device, self.n_members = density, device, density.n_members
        scaler = density.scaler
        self._dimension = len(scaler.x_table if isinstance(scaler, Gaussianiser) else scaler.low)
        self._pieces = Pieces(_ROWS[device], "evaluating a flow")

    def sample(self, m: Array, *, member: int = 0, seed: int = 1) -> Array:
        """As `FlowDensity.sample`."""
        noise = np.random.default_rng(seed).standard_normal((len(m), self._dimension))
        return self.decode(noise, m, member=member)

    def decode(self, z: Array, m: Array, *, member: int = 0) -> Array:
        """As `FlowDensity.decode`."""
        u = self._through(z, m, member, "inverse")
        return self._density.scaler.inverse(np.clip(u, -50, 50))  # the logit's exp overflows far outside the data

    def encode(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """As `FlowDensity.encode`."""
        return self._through(self._density.scaler.forward(x), m, member, "forward")

    def log_prob(self, x: Array, m: Array, *, member: int = 0) -> Array:
        """As `FlowDensity.log_prob`."""
        scaler, u = self._density.scaler, self._density.scaler.forward(x)
        each = [self._on_pieces(flow.log_prob, u, m) for flow in self._flows(member)]
        return np.asarray(logsumexp(each, axis=0) - np.log(len(each)) + scaler.log_jacobian(x))

    def _through(self, values: Array, m: Array, member: int, direction: str) -> Array:
        """Consecutive shares of the rows through the transforms of the member's checkpoints."""
        parts = np.array_split(np.arange(len(m)), len(self._density.states[member]))
        found = []
        for flow, rows in zip(self._flows(member), parts, strict=True):
            found.append(self._on_pieces(getattr(flow._transform, direction), values[rows], m[rows]))
        return np.concatenate(found)

    @one_thread
    def _on_pieces(self, work: Callable[..., Any], values: Array, m: Array) -> Array:
        """What `work(values, context=...)` finds, the first thing of several, piece by piece."""
        density, out = self._density, list[torch.Tensor]()
        scaled = torch.from_numpy((np.log(m) - density.mass_mean) / density.mass_sd)

        def one(part: slice) -> None:
            v = torch.from_numpy(values[part]).to(self.device, torch.float32)
            found = work(v, context=scaled[part].to(self.device, torch.float32)[:, None])
            out.append((found[0] if isinstance(found, tuple) else found).cpu())

        with torch.no_grad():
            self._pieces.run(len(m), one)
        return torch.cat(out).double().numpy() if out else np.empty(values.shape)

    def _flows(self, member: int) -> Iterator[Flow]:
        for state in self._density.states[member]:
            flow = _build(self._density.settings, self._dimension)
            flow.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
            yield flow.to(self.device).eval()


def _build(s: FlowSettings, d: int) -> Flow:
    # nflows pulls in a plotting library: only steps that train or sample a flow pay for it
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import (
        MaskedAffineAutoregressiveTransform,
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    )
    from nflows.transforms.base import CompositeTransform, Transform
    from nflows.transforms.normalization import BatchNorm
    from nflows.transforms.permutations import ReversePermutation

    steps: list[Transform] = []
    for _ in range(s.blocks):
        if s.transform == "affine":
            steps.append(
                MaskedAffineAutoregressiveTransform(
                    d, s.hidden, context_features=1, num_blocks=s.layers, use_residual_blocks=False
                )
            )
        else:
            steps.append(
                MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
                    d, s.hidden, context_features=1, num_bins=s.bins, tails="linear", tail_bound=4.5,
                    num_blocks=s.layers, use_residual_blocks=True,
                )
            )  # fmt: skip
        if s.batch_norm:
            steps.append(BatchNorm(d, momentum=1.0))
        steps.append(ReversePermutation(d))
    return Flow(CompositeTransform(steps), StandardNormal([d]))


def _train(
    s: FlowSettings,
    u: torch.Tensor,
    c: torch.Tensor,
    w: torch.Tensor,
    seed: int,
    device: str,
    progress: Progress | None,
) -> list[dict[str, NDArray[np.generic]]]:
    """Train one flow and return its best checkpoints by validation loss, best first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = _build(s, u.shape[1]).to(device)
    order = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(u), generator=order).to(device)
    n_val = int(s.validation * len(u))
    val, train = shuffled[:n_val], shuffled[n_val:]
    n_steps = max(1, len(train) // s.batch)
    optimiser = torch.optim.Adam(flow.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
    schedule = (
        torch.optim.lr_scheduler.OneCycleLR(optimiser, s.learning_rate, total_steps=max(4, s.epochs * n_steps))
        if s.schedule == "one_cycle"
        else None
    )
    kept: list[tuple[float, dict[str, torch.Tensor]]] = []
    for epoch in range(s.epochs):
        flow.train()
        index = train[torch.randperm(len(train), generator=order).to(device)]
        for step in range(n_steps):
            b = index[step * s.batch : (step + 1) * s.batch]
            loss = -(flow.log_prob(u[b], context=c[b]) * w[b]).sum() / w[b].sum().clamp_min(1.0)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if schedule:
                schedule.step()
        with torch.no_grad():
            if s.batch_norm:
                flow.log_prob(u[train], context=c[train])  # momentum 1: sets the statistics of the whole set
            flow.eval()
            chunks = torch.split(val, 16384)
            score = -float(sum((flow.log_prob(u[b], context=c[b]) * w[b]).sum() for b in chunks)) / float(w[val].sum())
        if not np.isfinite(score):
            raise FitError(f"flow: validation loss is {score} in epoch {epoch + 1}, expected a finite number")
        if progress:
            progress(epoch + 1, s.epochs, score)
        kept.append((score, {k: v.detach().clone() for k, v in flow.state_dict().items()}))
        kept = sorted(kept, key=lambda pair: pair[0])[: s.keep_epochs]
    return [{k: v.cpu().numpy() for k, v in state.items()} for _, state in kept]
