"""The demo runs the real chain, here on a plate of four small stacks."""

import pandas as pd
import pytest

from gradcamo.cli.demo import run_demo
from gradcamo.samples.design import PlateDesign


@pytest.mark.slow
def test_the_demo_ends_with_a_table_two_pictures_a_report_and_a_few_true_lines(tmp_path):
    design = PlateDesign(field_px=128, cells_per_field=8, rows=("D", "E"), sites=1, planes=9)
    said = []
    cells = run_demo(tmp_path, gui=False, say=said.append, design=design)
    written = pd.read_csv(tmp_path / "cells.csv")
    assert len(written) == len(cells)
    assert set(written["well"]) == {"D02", "E02", "D03", "E03"}
    for picture in ("heatmaps.png", "scores.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
    assert len(list((tmp_path / "labels").iterdir())) == 2  # segmented for real
    scored = written["grad_camo"].notna()
    passing = int((written["grad_camo"] >= 0.25).sum())
    whole = int((~written["touches_border"]).sum())
    assert any(f"{passing} of {whole} whole cells" in s for s in said)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{passing} of {whole} whole cells" in page
    assert any(str(tmp_path / "report.html") in s for s in said)
    shares = written.loc[scored, ["grad_camo", "neighbour_share", "background_share"]]
    assert (shares.sum(axis=1) - 1).abs().max() < 1e-4
