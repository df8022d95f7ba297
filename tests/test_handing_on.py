"""The code of docs/handing_on.md runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradcamo.files.store import write_table

PAGE = Path(__file__).parents[1] / "docs" / "handing_on.md"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The tables of a plate, as `gradcamo plate` names and writes them."""
    import h5py
    from anndata.io import write_elem

    rng = np.random.default_rng(0)
    n = 240
    table = pd.DataFrame(
        {
            "image": np.repeat([f"{i}.tif" for i in range(12)], 20),
            "label": np.tile(np.arange(1, 21), 12),
            "grad_camo": rng.random(n),
            "touches_border": np.tile(np.arange(20) >= 18, 12),
            "plate": "P1",
            "well": np.repeat(["D02", "D03", "E02", "E03"], 60),
            "site": np.tile(np.repeat(["1", "2", "3"], 20), 4),
            "treatment": np.repeat(["control", "40.0x"], 120),
        }
    )
    table["flagged"] = (table["grad_camo"] < 0.25) & ~table["touches_border"]
    whole = table[~table["touches_border"]].reset_index(drop=True)
    values = rng.standard_normal((len(whole), 6)).astype(np.float32)
    write_table(table, tmp_path / "cells.parquet", {"layer": "block_10"})
    write_table(whole, tmp_path / "profiles.h5ad", {"layer": "block_10"}, values)
    with h5py.File(tmp_path / "profiles.h5ad", "a") as file:
        write_elem(file, "layers/whitened", values)
        write_elem(file, "obsm/X_umap", values[:, :2])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code(module: str | None = None) -> list[str]:
    """The page's Python, one text per section; only sections that import ``module``."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 4
    return [block for block in blocks if module is None or f"import {module}" in block]


def test_pandas_reads_the_table_and_its_recipe(folder):
    names: dict = {}
    exec(code("read_table")[0], names)
    assert names["recipe"] == {"layer": "block_10"}
    assert (names["good"]["grad_camo"] >= 0.25).all()
    assert len(names["good"]) > 100


def test_pycytominer_drops_flagged_cells_and_spherizes_on_the_controls(folder):
    pytest.importorskip("pycytominer")
    names: dict = {}
    exec(code("pycytominer")[0], names)
    spherized, profiles = names["spherized"], names["profiles"]
    assert len(spherized) == (~profiles.table["flagged"]).sum() < len(profiles.table)
    assert set(names["wells"]["Metadata_Well"]) == {"D02", "D03", "E02", "E03"}
    controls = spherized[spherized["Metadata_treatment"] == "control"]
    covariance = np.cov(controls[names["features"]].T)
    np.testing.assert_allclose(covariance, np.eye(6), atol=0.1)


def test_anndata_and_scanpy_open_the_profiles(folder):
    names: dict = {}
    exec(code("anndata")[0], names)
    assert names["passing"].n_obs == (~names["data"].obs["flagged"]).sum()
    assert names["passing"].layers["whitened"].shape[1] == 6
    pytest.importorskip("scanpy")
    pytest.importorskip("igraph")
    exec(code("scanpy")[0], names)
    assert "leiden" in names["passing"].obs
