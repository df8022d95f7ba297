"""The code of docs/handing_on.md runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "handing_on.md"


@pytest.fixture
def folder(finished, monkeypatch) -> Path:
    """Where `gradcamo plate` left its results."""
    monkeypatch.chdir(finished)
    return finished


def code(name: str | None = None) -> list[str]:
    """The page's Python, one text per section; only sections that use ``name``."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 4
    return [block for block in blocks if name is None or name in block]


def test_pandas_reads_the_table_and_its_recipe(folder):
    names: dict = {}
    exec(code("read_table")[0], names)
    assert names["recipe"]["settings"]["layer"] == "block_2"
    assert (names["good"]["grad_camo"] >= 0.25).all()
    assert len(names["good"]) > 30


def test_pycytominer_drops_flagged_cells_and_spherizes_on_the_controls(folder):
    pytest.importorskip("pycytominer")
    names: dict = {}
    exec(code("import pycytominer")[0], names)
    spherized, profiles = names["spherized"], names["profiles"]
    assert len(spherized) == (~profiles.table["flagged"]).sum() < len(profiles.table)
    assert set(names["wells"]["Metadata_Well"]) == {"D02", "D03", "E02", "E03"}
    controls = spherized[spherized["Metadata_treatment"] == "control"]
    covariance = np.cov(controls[names["features"]].T)
    np.testing.assert_allclose(covariance, np.eye(len(covariance)), atol=0.1)


def test_anndata_and_scanpy_open_the_profiles(folder):
    names: dict = {}
    exec(code("import anndata")[0], names)
    assert names["passing"].n_obs == (~names["data"].obs["flagged"]).sum()
    assert names["passing"].layers["whitened"].shape == names["passing"].X.shape
    assert names["data"].obsm["X_umap"].shape == (len(names["data"]), 2)
    pytest.importorskip("scanpy")
    pytest.importorskip("igraph")
    exec(code("import scanpy")[0], names)
    assert "leiden" in names["passing"].obs
