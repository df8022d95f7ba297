import io
import json
import sys

import numpy as np
import pytest

from gradcamo.errors import GradcamoError
from gradcamo.profiles.embed import sample_rows, umap_layout
from gradcamo.profiles.umap_process import serve


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    which = np.repeat([0, 1, 2], 40)
    return 12 * rng.standard_normal((3, 60))[which] + rng.standard_normal((120, 60)), which


@pytest.mark.slow
def test_cells_of_a_kind_lie_together_and_the_same_seed_gives_the_same_map(clusters):
    profiles, which = clusters
    layout = umap_layout(profiles, seed=3)
    assert layout.shape == (120, 2)
    centres = np.stack([layout[which == k].mean(0) for k in range(3)])
    nearest = np.linalg.norm(layout[:, None] - centres, axis=2).argmin(1)
    assert (nearest == which).mean() > 0.98
    np.testing.assert_array_equal(layout, umap_layout(profiles, seed=3))


def test_a_handful_of_cells_can_be_laid_out_too(clusters):
    assert np.isfinite(umap_layout(clusters[0][:5])).all()


def test_a_process_of_its_own_answers_as_the_library_does(clusters, tmp_path, monkeypatch, capsys):
    given, made = tmp_path / "profiles.npy", tmp_path / "layout.npy"
    np.save(given, clusters[0])
    asked = [{"profiles": str(given), "layout": str(made), "seed": seed} for seed in (3, 4)]
    few = {**asked[0], "profiles": str(tmp_path / "few.npy")}
    np.save(few["profiles"], clusters[0][:3])
    lines = "\n".join(map(json.dumps, [asked[0], asked[1], few]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    serve()
    np.testing.assert_array_equal(np.load(made), umap_layout(clusters[0], seed=4))
    *_, done, failed = capsys.readouterr().out.splitlines()
    assert done == "done"
    assert "four cells" in failed


def test_too_few_cells_and_missing_values_are_refused(clusters):
    with pytest.raises(GradcamoError, match="four cells"):
        umap_layout(clusters[0][:3])
    with pytest.raises(GradcamoError, match="partial cells"):
        umap_layout(np.full((10, 4), np.nan))


def test_a_sample_holds_what_must_be_shown_first():
    assert sample_rows(5, 10).tolist() == [0, 1, 2, 3, 4]
    rows = sample_rows(1000, 100, seed=1, first=np.array([7, 990]))
    assert len(set(rows.tolist())) == 100
    assert {7, 990} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, sample_rows(1000, 100, 1, np.array([7, 990])))
