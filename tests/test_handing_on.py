"""The code of docs/handing_on.md runs as it stands there."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import gradcamo as gc

PAGE = Path(__file__).parents[1] / "docs" / "handing_on.md"


@pytest.fixture
def folder(finished, monkeypatch) -> Path:
    """Where `gradcamo plate` left its results."""
    monkeypatch.chdir(finished)
    return finished


def code(name: str | None = None) -> list[str]:
    """The page's Python, one text per section; only sections that use ``name``."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 5
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


def test_the_profiles_keep_to_the_conventions_of_scverse(folder, recwarn):
    import anndata
    import pandas as pd

    data = anndata.read_h5ad("profiles.h5ad")
    assert not [w for w in recwarn if "not unique" in str(w.message)]
    obs = data.obs
    keys = (f"{p}_{w}_{s}_{n}" for p, w, s, n in obs[["plate", "well", "site", "label"]].to_numpy())
    assert data.obs_names.tolist() == list(keys)
    assert data.obs_names.is_unique
    assert data.var_names.is_unique
    assert data.X.dtype == data.layers["whitened"].dtype == np.float32
    assert np.isfinite(data.X).all()
    text = [name for name in obs if not pd.api.types.is_numeric_dtype(obs[name])]
    assert {"well", "site", "treatment", "image"} <= set(text)
    assert all(isinstance(obs[name].dtype, pd.CategoricalDtype) for name in text)
    assert json.loads(data.uns["recipe"])["checkpoint"]
    data.write_h5ad("copy.h5ad")  # as anndata itself writes it
    back = anndata.read_h5ad("copy.h5ad")
    Path("copy.h5ad").unlink()
    assert back.obs_names.tolist() == data.obs_names.tolist()
    pd.testing.assert_frame_equal(back.obs, obs)


def test_a_plate_is_exported_under_the_names_of_cytotable_and_cosmicqc(folder, tmp_path):
    import pandas as pd
    from click.testing import CliRunner

    from gradcamo.cli.commands import main

    out = tmp_path / "single_cells.parquet"
    command = ["export", ".", "-o", str(out), "--profiles", "--cytomining"]
    assert CliRunner().invoke(main, command).exit_code == 0
    cells, profiles = pd.read_parquet(out), gc.read_profiles("profiles.h5ad")
    assert len(cells) == len(profiles.table)
    features = cells.filter(regex="^Cells_").to_numpy()
    np.testing.assert_array_equal(features, profiles.values)
    flags = cells["Metadata_cqc_gradcamo_is_outlier"]
    assert flags.tolist() == profiles.table["flagged"].tolist()
    assert cells["Metadata_plate_well_site_objectnumber"].is_unique


def test_a_table_of_another_tool_gets_flags_and_scores_and_keeps_the_rest(folder):
    names: dict = {}
    try:
        exec(code("read_single_cells")[0], names)
        text, measured = (Path(n).read_text("utf-8") for n in ("checked.csv", "single_cells.csv"))
    finally:
        for name in ("checked.csv", "single_cells.csv"):
            Path(name).unlink(missing_ok=True)
    lines = zip(text.splitlines(), measured.splitlines(), strict=True)
    assert all(line.startswith(f"{own},") for line, own in lines)
    flags = names["checked"]["Metadata_cqc_gradcamo_is_outlier"]
    assert flags.tolist() == names["found"]["flagged"].tolist()
    assert names["of_image"]["volume_um3"].notna().all()


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
