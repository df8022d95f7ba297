"""Every layer, scored in one pass."""

import numpy as np
import pandas as pd
import pytest

from gradcamo.files.stacks import read_labels, read_stack


def test_a_layer_audit_scores_each_held_out_cell_as_an_audit_does(small_plate, trained):
    from gradcamo.auditing.stack import audit
    from gradcamo.files.plates import read_plate
    from gradcamo.settings import AuditSettings
    from gradcamo.training.layer_audit import layer_audit, save_layer_audit

    checkpoint = trained[0]
    found = layer_audit(small_plate, checkpoint, ("block_2", "head"))
    cells = found.cells[found.cells["layer"] == "block_2"]
    expected = []
    for _, row in read_plate(small_plate).iterrows():
        if row["well"] in checkpoint.recipe["test_wells"]:
            stack, labels = read_stack(row["image"]), read_labels(row["labels"])
            table = audit(stack, labels, checkpoint, AuditSettings(layer="block_2"))
            expected.append(table[~table["touches_border"]])
    expected = pd.concat(expected)
    assert cells["label"].tolist() == expected["label"].tolist()
    for column in ("grad_camo", "chance", "ceiling", "attainable"):
        np.testing.assert_allclose(cells[column], expected[column], atol=1e-4)
    assert found.summary["layer"].tolist() == ["block_2", "head"]
    mean = expected["grad_camo"].mean()
    assert found.summary["grad_camo"][0] == pytest.approx(mean, abs=1e-4, nan_ok=True)
    assert found.summary["probe_accuracy"].between(0, 1).all()
    files = save_layer_audit(found, small_plate.parent / "layers")
    assert all(file.stat().st_size > 0 for file in files)


def test_a_probe_reads_what_profiles_hold_and_nothing_else():
    from gradcamo.training.layer_audit import _probe

    rng = np.random.default_rng(0)
    treatment = pd.Series(["a", "b"] * 200)
    held_out = np.arange(400) >= 200
    noise = rng.normal(size=(400, 30))
    signal = noise + 2 * (treatment == "b").to_numpy()[:, None]
    assert _probe(signal, treatment, held_out) > 0.95
    assert 0.35 < _probe(noise, treatment, held_out) < 0.65
