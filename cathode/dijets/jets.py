"""Jets with FastJet: anti-kT, trigger, N-subjettiness; of energy-flow objects of the generator and of files of particles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# the choice whose tau21 tails agree with the LHC Olympics table; KT and winner-takes-all axes do not
AXES = "OnePass_KT_Axes"
LEAST_JET_PT = 20.0


@dataclass(frozen=True)
class EnergyFlow:
    """Massless objects: tracks, and calorimeter energy that no track explains.

    Attributes:
        n_events: events in the batch.
        event: (n,) ascending number of the event.
        pt (n,) GeV, eta (n,), phi (n,).
    """

    n_events: int
    event: Index
    pt: Array
    eta: Array
    phi: Array


@dataclass(frozen=True)
class Dijets:
    """Events that pass the trigger, with their two jets of largest pT.

    Attributes:
        event: (n,) number in the batch.
        momentum: (n, 2, 4) px, py, pz, E of leading and sub-leading jet, GeV.
        constituents: (n, 2) energy-flow objects in each.
        tau: (n, 2, 3) N-subjettiness of 1, 2 and 3 axes, beta = 1.
    """

    event: Index
    momentum: Array
    constituents: Index
    tau: Array


def _jagged(counts: Index, px: Array, py: Array, pz: Array, energy: Array) -> Any:
    """Four-vectors of several events as FastJet takes them; `counts` per event."""
    import awkward as ak

    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    record = ak.contents.RecordArray(
        [ak.contents.NumpyArray(np.ascontiguousarray(c)) for c in (px, py, pz, energy)],
        ["px", "py", "pz", "E"],
        parameters={"__record__": "Momentum4D"},
    )
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))


def find_dijets(objects: EnergyFlow, *, trigger_pt: float, trigger_eta: float, radius: float) -> Dijets:
    """Cluster with anti-kT and keep events where one of the two leading jets has `trigger_pt` GeV inside `trigger_eta`."""
    import awkward as ak
    import fastjet

    components = (
        objects.pt * np.cos(objects.phi), objects.pt * np.sin(objects.phi), objects.pt * np.sinh(objects.eta),
        objects.pt * np.cosh(objects.eta),
    )  # fmt: skip
    counts = np.bincount(objects.event, minlength=objects.n_events)
    # exact: no jet has more pT than the scalar sum of its event
    total = np.bincount(objects.event, weights=objects.pt, minlength=objects.n_events)
    candidate = (counts > 1) & (total > trigger_pt)
    numbers, used = np.flatnonzero(candidate), np.flatnonzero(candidate[objects.event])
    if len(numbers) == 0:
        return _none()
    sequence = fastjet.ClusterSequence(
        _jagged(counts[numbers], *(c[used] for c in components)),
        fastjet.JetDefinition(fastjet.antikt_algorithm, radius),
    )
    jets = sequence.inclusive_jets(min_pt=LEAST_JET_PT)
    n_jets = np.asarray(ak.num(jets.px))
    momentum = np.stack([np.asarray(ak.flatten(jets[c])) for c in ("px", "py", "pz", "E")], axis=1)
    local, pair = leading_pairs(n_jets, momentum, trigger_pt, trigger_eta)
    if len(local) == 0:
        return _none()
    chosen = ak.flatten(sequence.constituent_index(min_pt=LEAST_JET_PT), axis=1)[pair.ravel()]
    n_constituents = np.asarray(ak.num(chosen))
    start = np.concatenate([[0], np.cumsum(counts[numbers])])[:-1]
    index = np.asarray(ak.flatten(chosen)) + np.repeat(start[np.repeat(local, 2)], n_constituents)
    inside = [c[used[index]] for c in components]
    tau = subjettiness(n_constituents, *inside, radius=radius)
    return Dijets(numbers[local], momentum[pair], n_constituents.reshape(-1, 2), tau.reshape(-1, 2, 3))


def _none() -> Dijets:
    return Dijets(
        np.zeros(0, dtype=np.int64), np.zeros((0, 2, 4)), np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2, 3))
    )


def leading_pairs(n_jets: Index, momentum: Array, trigger_pt: float, trigger_eta: float) -> tuple[Index, Index]:
    """Events `(n,)` that pass the trigger and their two leading jets `(n, 2)`, from `n_jets (e,)` and all jets `(sum, 4)`."""
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    eta = np.arcsinh(momentum[:, 2] / pt)
    order = np.lexsort((-pt, np.repeat(np.arange(len(n_jets)), n_jets)))
    start = np.concatenate([[0], np.cumsum(n_jets)])[:-1]
    several = n_jets >= 2
    pair = np.stack([order[start[several]], order[start[several] + 1]], axis=1)
    fires = ((pt[pair] > trigger_pt) & (np.abs(eta[pair]) < trigger_eta)).any(axis=1)
    return np.flatnonzero(several)[fires], pair[fires]


def subjettiness(counts: Index, px: Array, py: Array, pz: Array, energy: Array, *, radius: float) -> Array:
    """tau_1, tau_2, tau_3 `(jets, 3)` of jets given by their constituents, `counts` each.

    tau_N = sum_i pT_i min_a Delta R(i, a) / (sum_i pT_i R0), beta = 1, R0 = `radius`. Axes: exclusive kT, improved by one
    minimisation. Source: arXiv:1011.2268, eq. 2.1.
    """
    import fastjet

    sequence = fastjet.ClusterSequence(
        _jagged(counts, px, py, pz, energy), fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    )
    tau = sequence.njettiness(
        measure_definition="NormalizedMeasure", axes_definition=AXES, njets=[1, 2, 3], beta=1.0, R0=radius
    )
    return np.asarray(tau).reshape(len(counts), 3)


def lhco_table(dijets: Dijets) -> NDArray[np.float32]:
    """Momenta, masses and N-subjettiness `(n, 14)` in the order of the LHC Olympics table."""
    p = dijets.momentum
    mass = np.sqrt(np.maximum(p[..., 3] ** 2 - (p[..., :3] ** 2).sum(axis=-1), 0.0))
    table: Any = np.concatenate([p[..., :3], mass[..., None], dijets.tau], axis=-1)
    return np.asarray(table.reshape(len(p), 14), dtype=np.float32)
