"""The detector: tracks, calorimeter towers and energy flow, all particles of a batch at once.

After Delphes' calorimeter with the CMS card of Delphes 3.4.1, which the LHC Olympics sample was made with (arXiv:1307.6346; the card
of today makes jets 1 % lighter in mjj and 5 % in mass). Not modelled: isolation, pile-up, removal of leptons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cathode.dijets.jets import EnergyFlow
from cathode.generator.events import Particles

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FIELD, RADIUS, HALF_LENGTH = 3.8, 1.29, 3.0  # T, m, m
MOST_TURNS = 200.0  # rad: a particle that loops longer is taken to leave the tracker there
TRACK_ETA, TRACK_PT, CALORIMETER_ETA = 2.5, 0.1, 5.0
ELECTRON, MUON, PHOTON, PION0, KAON_SHORT, LAMBDA = 11, 13, 22, 111, 310, 3122
# momentum resolution hypot(a, b pT) in |eta| < 0.5, 1.5, 2.5
RESOLUTION = {
    "hadron": ((0.06, 0.10, 0.25), (1.3e-3, 1.7e-3, 3.1e-3)),
    "electron": ((0.03, 0.05, 0.15), (1.3e-3, 1.7e-3, 3.1e-3)),
    "muon": ((0.01, 0.015, 0.025), (1.0e-4, 1.5e-4, 3.5e-4)),
}


@dataclass(frozen=True)
class Tracks:
    """Reconstructed tracks of a batch: which particle `(n,)`, its smeared energy and that energy's resolution (GeV)."""

    particle: Index
    pt: Array
    energy: Array
    sigma: Array


@dataclass(frozen=True)
class Grid:
    """Towers: rows in eta, each divided evenly in phi.

    Attributes:
        eta: (r + 1,) edges of the rows; n_phi: (r,) towers in each; first: (r + 1,) number of the first tower of each row.
    """

    eta: Array
    n_phi: Index
    first: Index

    @staticmethod
    def mirrored(parts: list[tuple[list[float], int]]) -> Grid:
        """From `parts` (edges at positive eta, towers in phi), from eta 0 outwards, each part starting where the last ended."""
        low = [(edge, n) for edges, n in parts for edge in edges[:-1]]
        positive = np.array([edge for edge, _ in low] + [parts[-1][0][-1]])
        n_phi = np.array([n for _, n in low][::-1] + [n for _, n in low])
        eta = np.concatenate([-positive[::-1], positive[1:]])
        return Grid(eta, n_phi, np.concatenate([[0], np.cumsum(n_phi)]))

    def tower(self, eta: Array, phi: Array) -> Index:
        """Number of the tower at each direction."""
        row = np.clip(np.searchsorted(self.eta, eta, side="right") - 1, 0, len(self.n_phi) - 1)
        n = self.n_phi[row]
        column = np.floor((phi / (2 * np.pi)) % 1.0 * n).astype(np.int64)
        return np.asarray(self.first[row] + np.minimum(column, n - 1))


@dataclass(frozen=True)
class Calorimeter:
    """One calorimeter: its towers, its resolution (GeV) at (eta, energy), and the energy and significance that count."""

    grid: Grid
    resolution: Callable[[Array, Array], Array]
    least: float
    significance: float


def ecal_resolution(eta: Array, energy: Array) -> Array:
    """Resolution of the electromagnetic calorimeter in GeV."""
    a = np.abs(eta)
    base = np.sqrt((energy * 0.008) ** 2 + energy * 0.11**2 + 0.40**2)
    forward = np.sqrt((energy * 0.107) ** 2 + energy * 2.08**2)
    return np.where(
        a <= 1.5, (1 + 0.64 * eta**2) * base, np.where(a <= 2.5, (2.16 + 5.6 * (a - 2) ** 2) * base, forward)
    )


def hcal_resolution(eta: Array, energy: Array) -> Array:
    """Resolution of the hadronic calorimeter in GeV."""
    inner = np.sqrt((energy * 0.050) ** 2 + energy * 1.50**2)
    return np.where(np.abs(eta) <= 3.0, inner, np.sqrt((energy * 0.130) ** 2 + energy * 2.70**2))


FORWARD_ETA = [3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525]
ECAL = Calorimeter(
    Grid.mirrored([((np.arange(0, 171) * 0.0174).tolist(), 360), ([2.958, *FORWARD_ETA, 4.7, 5.0], 36)]),
    ecal_resolution, 0.5, 2.0,
)  # fmt: skip
HCAL = Calorimeter(
    Grid.mirrored(
        [
            ((np.arange(0, 20) * 0.087).tolist(), 72),
            ([1.653, 1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95, *FORWARD_ETA], 36),
            ([4.525, 4.7, 5.0], 18),
        ]
    ),
    hcal_resolution, 1.0, 1.0,
)  # fmt: skip


def lognormal(rng: np.random.Generator, mean: Array, sigma: Array) -> Array:
    """Log-normal numbers of the given mean and standard deviation, as Delphes smears energies."""
    b = np.sqrt(np.log1p((sigma / mean) ** 2))
    return np.asarray(np.exp(np.log(mean) - 0.5 * b * b + b * rng.standard_normal(len(mean))))


def reach_calorimeter(pt: Array, eta: Array, phi: Array, charge: Array) -> tuple[Array, Array]:
    """Direction (eta, phi) of the point where a particle from the origin leaves the tracker.

    Charged ones follow a helix of radius r = pT / (0.3 B |q|) (m, GeV, T) until barrel or end cap: after an angle a they are
    2 r sin(a / 2) from the axis and r a sinh(eta) along it.
    """
    out_eta, out_phi = eta.copy(), phi.copy()
    i = np.flatnonzero(charge != 0)
    slope = np.sinh(eta[i])
    r = pt[i] / (0.3 * FIELD * np.abs(charge[i]))
    barrel = 2 * np.arcsin(np.minimum(RADIUS / (2 * r), 1.0))
    end = HALF_LENGTH / np.maximum(r * np.abs(slope), 1e-9)
    angle = np.minimum(np.where(r < RADIUS / 2, end, np.minimum(barrel, end)), MOST_TURNS)
    rho = np.maximum(2 * r * np.abs(np.sin(angle / 2)), 1e-6)
    out_eta[i] = np.arcsinh(r * angle * slope / rho)
    out_phi[i] = phi[i] - np.sign(charge[i]) * angle / 2
    return out_eta, out_phi


def tracking_efficiency(kind: Index, pt: Array, eta: Array) -> Array:
    """Probability that a charged particle leaves a track, by absolute particle code; all but electrons and muons are hadrons."""
    barrel, hard = eta <= 1.5, pt > 1
    hadron = np.where(barrel, np.where(hard, 0.95, 0.70), np.where(hard, 0.85, 0.60))
    electron = np.where(
        barrel,
        np.where(pt > 100, 0.99, np.where(hard, 0.95, 0.73)),
        np.where(pt > 100, 0.90, np.where(hard, 0.83, 0.50)),
    )
    muon = np.where(barrel, np.where(hard, 0.99, 0.75), np.where(hard, 0.98, 0.70))
    return np.where(kind == ELECTRON, electron, np.where(kind == MUON, muon, hadron))


def track_resolution(kind: Index, pt: Array, eta: Array) -> Array:
    """Relative momentum resolution, by absolute particle code and absolute eta below 2.5."""
    region = np.where(eta <= 0.5, 0, np.where(eta <= 1.5, 1, 2))
    (ha, hb), (ea, eb), (ma, mb) = (np.array(RESOLUTION[k]) for k in ("hadron", "electron", "muon"))
    constant = np.where(kind == ELECTRON, ea[region], np.where(kind == MUON, ma[region], ha[region]))
    slope = np.where(kind == ELECTRON, eb[region], np.where(kind == MUON, mb[region], hb[region]))
    return np.asarray(np.hypot(constant, slope * pt))


def find_tracks(rng: np.random.Generator, kind: Index, charge: Array, pt: Array, eta: Array) -> Tracks:
    """Tracks of charged particles, found with their efficiency and smeared with their resolution."""
    absolute = np.abs(eta)
    efficiency = tracking_efficiency(kind, pt, absolute)
    found = (charge != 0) & (absolute <= TRACK_ETA) & (pt > TRACK_PT) & (rng.random(len(pt)) < efficiency)
    i = np.flatnonzero(found)
    resolution = track_resolution(kind[i], pt[i], absolute[i])
    smeared = lognormal(rng, pt[i], resolution * pt[i])
    energy = smeared * np.cosh(eta[i])  # energy-flow objects are massless
    return Tracks(i, smeared, energy, resolution * energy)


def deposit_fractions(kind: Index) -> tuple[Array, Array]:
    """Shares of the energy that electromagnetic and hadronic calorimeter take, by absolute particle code."""
    electromagnetic = (kind == PHOTON) | (kind == ELECTRON) | (kind == PION0)
    mixed = (kind == KAON_SHORT) | (kind == LAMBDA)
    em = np.where(electromagnetic, 1.0, np.where(mixed, 0.3, 0.0))
    had = np.where(electromagnetic | (kind == MUON), 0.0, np.where(mixed, 0.7, 1.0))
    return em, had


def measure_towers(
    rng: np.random.Generator,
    calorimeter: Calorimeter,
    n_events: int,
    deposits: tuple[Index, Array, Array, Array],
    tracks: tuple[Index, Array, Array, Array, Array],
) -> tuple[EnergyFlow, Array]:
    """Smeared tower energies against the tracks that hit them.

    `deposits` are event, eta, phi and energy at the calorimeter; `tracks` the same and the energy's resolution. Returns
    the neutral excess of each tower where it is significant, and the factor `(n_tracks,)` that corrects the tracks'
    energies where it is not: there tower and tracks measure the same energy and are averaged by their errors.
    """
    grid = calorimeter.grid
    n_towers = int(grid.first[-1])
    key = [t[0] * n_towers + grid.tower(t[1], t[2]) for t in (deposits, tracks)]
    tower, at = np.unique(np.concatenate(key), return_inverse=True)
    at_deposit, at_track = at[: len(key[0])], at[len(key[0]) :]
    n = len(tower)
    true: Array = np.bincount(at_deposit, weights=deposits[3], minlength=n).astype(np.float64)
    tracked = np.bincount(at_track, weights=tracks[3], minlength=n)
    variance = np.bincount(at_track, weights=tracks[4] ** 2, minlength=n)
    cell = tower % n_towers
    row = np.searchsorted(grid.first, cell, side="right") - 1
    eta = 0.5 * (grid.eta[row] + grid.eta[row + 1])

    energy, sigma, hit = np.zeros(n), np.zeros(n), true > 0
    energy[hit] = lognormal(rng, true[hit], calorimeter.resolution(eta[hit], true[hit]))
    sigma[hit] = calorimeter.resolution(eta[hit], energy[hit])
    energy[(energy < calorimeter.least) | (energy < calorimeter.significance * sigma)] = 0.0

    excess = np.maximum(energy - tracked, 0.0)
    significant = (excess > calorimeter.least) & (excess > calorimeter.significance * np.sqrt(variance + sigma**2))
    factor = np.ones(n)
    both = ~significant & (tracked > 0) & (sigma > 0) & (variance > 0)
    of_tracks, of_tower = 1 / variance[both], 1 / sigma[both] ** 2
    factor[both] = (of_tracks * tracked[both] + of_tower * energy[both]) / (of_tracks + of_tower) / tracked[both]

    g = np.flatnonzero(significant)
    r = row[g]
    # anywhere in the tower, as Delphes does
    out_eta = grid.eta[r] + rng.random(len(g)) * (grid.eta[r + 1] - grid.eta[r])
    out_phi = (cell[g] - grid.first[r] + rng.random(len(g))) / grid.n_phi[r] * 2 * np.pi
    neutral = EnergyFlow(n_events, tower[g] // n_towers, excess[g] / np.cosh(out_eta), out_eta, out_phi)
    return neutral, factor[at_track]


def detect(rng: np.random.Generator, particles: Particles) -> EnergyFlow:
    """Energy-flow objects of a batch of events."""
    pt = np.hypot(particles.px, particles.py)
    ok = pt > 1e-3  # nothing along the beam reaches a calorimeter
    pt, eta = pt[ok], np.arcsinh(particles.pz[ok] / pt[ok])
    phi = np.arctan2(particles.py[ok], particles.px[ok])
    event, kind, charge = particles.event[ok], np.abs(particles.pdg[ok]), particles.charge[ok]
    energy = particles.energy[ok]
    at_eta, at_phi = reach_calorimeter(pt, eta, phi, charge)
    tracks = find_tracks(rng, kind, charge, pt, eta)
    t = tracks.particle
    inside = np.abs(at_eta) < CALORIMETER_ETA
    electron, muon = kind[t] == ELECTRON, kind[t] == MUON
    factor, neutral = np.ones(len(t)), []
    for calorimeter, share, leaves in zip(
        (ECAL, HCAL), deposit_fractions(kind), (electron, ~electron & ~muon), strict=True
    ):
        i, w = np.flatnonzero((share > 0) & inside), np.flatnonzero(leaves)
        objects, correction = measure_towers(
            rng,
            calorimeter,
            particles.n_events,
            (event[i], at_eta[i], at_phi[i], energy[i] * share[i]),
            (event[t][w], at_eta[t][w], at_phi[t][w], tracks.energy[w], tracks.sigma[w]),
        )
        factor[w] *= correction
        neutral.append(objects)
    charged = EnergyFlow(particles.n_events, event[t], tracks.pt * factor, eta[t], phi[t])
    return _merge([charged, *neutral])


def _merge(parts: list[EnergyFlow]) -> EnergyFlow:
    """All objects, sorted by event."""
    order = np.argsort(np.concatenate([p.event for p in parts]), kind="stable")
    arrays = (np.concatenate([getattr(p, name) for p in parts])[order] for name in ("event", "pt", "eta", "phi"))
    return EnergyFlow(parts[0].n_events, *arrays)
