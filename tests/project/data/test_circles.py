from __future__ import annotations

import pytest
import torch
from sklearn.datasets import make_circles

from project.data import Circles


@pytest.mark.parametrize(("ring", "radius"), [(0, 1.0), (1, 0.3)], ids=["outer", "inner"])
def test_without_noise_each_ring_has_its_radius(ring: int, radius: float) -> None:
    points, rings = Circles(noise=0.0, factor=0.3).load()

    torch.testing.assert_close(
        points[rings == ring].norm(dim=1), torch.full((500,), radius, dtype=torch.float64)
    )


def test_the_points_are_scikit_learns() -> None:
    points, rings = Circles(num_samples=50, noise=0.1, factor=0.4, data_seed=3).load()
    theirs = make_circles(50, shuffle=False, noise=0.1, factor=0.4, random_state=3)

    assert points.tolist() == theirs[0].tolist()
    assert rings.tolist() == theirs[1].tolist()


def test_noise_spreads_the_radii() -> None:
    points, rings = Circles(num_samples=20_000, noise=0.1).load()

    assert points[rings == 0].norm(dim=1).std().item() == pytest.approx(0.1, rel=0.05)


def test_another_data_seed_gives_other_points() -> None:
    assert not torch.equal(Circles(data_seed=0).load()[0], Circles(data_seed=1).load()[0])


@pytest.mark.parametrize(
    "setting", [{"noise": float("inf")}, {"noise": -1}, {"data_seed": 2**32}], ids=str
)
def test_what_scikit_learn_would_refuse_is_a_fault(setting: dict[str, float]) -> None:
    (fault,) = Circles(**setting).faults()
    assert (fault.code, fault.key) == ("out-of-range", f"data.{next(iter(setting))}")


def test_unshuffled_training_sees_one_ring_after_the_other() -> None:
    labels = torch.cat([targets for _, targets in Circles(shuffle=False).train_dataloader()])

    assert torch.equal(labels, labels.sort().values)


def test_the_rings_have_names() -> None:
    assert Circles().class_names == ("outer", "inner")
