# SPDX-License-Identifier: Apache-2.0
"""Total variation by ADMM: the same minimum as by another algorithm, whatever the penalties."""

import numpy as np
import pytest

from nigroedge.smwi.admm import Datum, Penalties, minimise, shares_of
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import dipole_kernel, sphere_kernel
from nigroedge.smwi.solvers import Stopping

#: Of odd sizes, so that no Nyquist plane needs a rule; unlike voxel edges.
GRID = FourierGrid((9, 9, 5), (1.0, 1.0, 1.5), 0.0)
B0 = (0.0, 0.6, 0.8)
LAMBDA = 2e-3
LONG = Stopping(tolerance=0, iterations=2000)


class Dense:
    """The problem written down as matrices, in double precision."""

    def __init__(self, data, support, shares):
        n = int(np.prod(GRID.padded))
        unit = np.eye(n).reshape(n, *GRID.padded)
        spectra = np.fft.rfftn(unit, axes=(1, 2, 3))
        rows, right = [], []
        for datum in data:
            columns = np.fft.irfftn(spectra * datum.kernel, s=GRID.padded, axes=(1, 2, 3))
            weight = datum.weight.ravel().astype(float)[:, None]
            rows.append(weight * columns.reshape(n, n).T)
            right.append(weight[:, 0] * datum.field.ravel())
        inside = support.ravel()
        self.a = np.concatenate(rows)[:, inside]
        self.b = np.concatenate(right)
        differences, prices = [], []
        for axis, size in enumerate(GRID.voxel_size_mm):
            there = np.roll(np.arange(n).reshape(GRID.padded), -1, axis).ravel()
            edges = (np.eye(n)[there] - np.eye(n)) / size
            inner = inside & inside[there]
            differences.append(edges[inner])
            prices.append(LAMBDA * shares[axis].ravel()[inner].astype(float))
        self.gradient = np.concatenate(differences)[:, inside]
        self.prices = np.concatenate(prices)

    def objective(self, chi):
        residual = self.a @ chi - self.b
        return residual @ residual / 2 + self.prices @ np.abs(self.gradient @ chi)

    def minimum(self):
        """Chambolle and Pock 2011, algorithm 1: no copies, no Fourier transform of χ."""
        k = np.concatenate([self.a, self.gradient])
        step = 0.99 / np.linalg.norm(k, 2)
        chi = np.zeros(k.shape[1])
        ahead, dual, split = chi, np.zeros(k.shape[0]), len(self.a)
        for _ in range(4_000):
            dual = dual + step * (k @ ahead)
            dual[:split] = (dual[:split] - step * self.b) / (1 + step)
            dual[split:] = np.clip(dual[split:], -self.prices, self.prices)
            new = chi - step * (k.T @ dual)
            chi, ahead = new, 2 * new - chi
        return chi


@pytest.fixture(scope="module")
def problem():
    """A block of χ with noise, seen by the dipole directly and through a ball, within a mask."""
    rng = np.random.default_rng(0)
    support = np.ones(GRID.shape, bool)
    support[0] = support[-1] = support[:, 0] = False
    chi = np.zeros(GRID.shape, np.float32)
    chi[3:6, 4:7, 1:3] = 1.0
    dipole = dipole_kernel(GRID, B0)
    through = (1 - sphere_kernel(GRID, 2.0)) * dipole
    left = np.arange(9)[:, None, None] < 5
    data = []
    for kernel, where in ((dipole, left), (through, ~left)):
        noise = 0.02 * rng.normal(size=GRID.shape).astype(np.float32)
        weight = np.where(where & support, rng.uniform(0.5, 1.5, GRID.shape), 0)
        data.append(Datum(kernel, GRID.convolve(chi, kernel) + noise, weight.astype(np.float32)))
    return chi, data, support


def dear_everywhere_and_cheap_at_edges(chi):
    whole = [np.ones(GRID.padded, np.float32)] * 3
    return {"plain": whole, "edges": shares_of(GRID, chi, 0.5)}


@pytest.fixture(scope="module")
def truths(problem):
    """The minima by prices of differences."""
    chi, data, support = problem
    dense = {
        name: Dense(data, support, shares)
        for name, shares in dear_everywhere_and_cheap_at_edges(chi).items()
    }
    return {name: (each, each.minimum()) for name, each in dense.items()}


@pytest.mark.parametrize("prices", ["plain", "edges"])
@pytest.mark.parametrize(
    "penalties",
    [Penalties(100.0, 0.01, 1e-3), Penalties(20.0, 0.3, 0.01), Penalties(300.0, 0.03, 1e-2)],
    ids=["weak", "strong", "mixed"],
)
def test_the_minimum_is_that_of_chambolle_and_pock_whatever_the_penalties(
    problem, truths, penalties, prices
):
    chi, data, support = problem
    dense, truth = truths[prices]
    shares = dear_everywhere_and_cheap_at_edges(chi)[prices]

    found = minimise(
        GRID,
        data,
        support,
        regularisation=LAMBDA,
        penalties=penalties,
        stopping=LONG,
        shares=None if prices == "plain" else shares,
    )

    inner = found.chi[support].astype(float)
    # Neither is quite there: float32 sums move the one, 4,000 rounds end the other.
    assert dense.objective(inner) == pytest.approx(dense.objective(truth), rel=2e-3)
    assert dense.objective(truth) < 0.5 * dense.objective(0 * truth)
    np.testing.assert_allclose(inner, truth, atol=0.03)  # of a block of 1
    assert np.abs(found.chi[~support]).max() < 0.01


def test_cheap_edges_give_height_back(problem, truths):
    """TV lowers the block; with its edges at a small price it keeps more of its height."""
    chi, _, support = problem
    block = chi[support] > 0

    height = {
        name: truth[block].mean() - truth[~block].mean() for name, (_, truth) in truths.items()
    }

    assert height["plain"] < height["edges"] < 1.02, height


def test_an_edge_pays_by_its_slope():
    """A step of 0.03 over voxels of 1, 1 and 1.5 mm, where 0.02 ppm/mm cost half."""
    chi = np.zeros(GRID.shape, np.float32)
    chi[4:] += 0.03
    chi[:, :, 3:] += 0.03

    x, y, z = shares_of(GRID, chi, 0.02)

    assert x[3, 4, 1] == pytest.approx(1 / (1 + 1.5**2))
    assert z[6, 4, 2] == pytest.approx(1 / 2)
    assert x[1, 4, 1] == z[6, 4, 1] == 1
    assert (y == 1).all()
