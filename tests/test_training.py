"""A small real training: it learns, it repeats itself, it can be stopped and resumed."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from gradcamo.cells.crops import CellCrops
from gradcamo.errors import GradcamoError
from gradcamo.files.stacks import read_labels, read_stack
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate
from gradcamo.settings import CropSettings, TrainSettings
from gradcamo.training.dataset import CellDataset, EpochOrder, channel_statistics, index_cells
from gradcamo.training.split import leave_wells_out
from gradcamo.training.train import train, train_and_save

SMALL = TrainSettings(
    crop=CropSettings(size_yx=(40, 40)),
    input_size=(64, 64, 64),
    width=0.1,
    layer="block_4",
    epochs=2,
    learning_rate=3e-3,
    batch_size=4,
)


def settings(**changes):
    return SMALL.model_copy(update=changes)


@pytest.fixture(scope="module")
def plate_csv(tmp_path_factory):
    """Controls and the highest dose, one small stack a well: 8 to 10 whole cells each."""
    design = PlateDesign(rows=("D", "E"), sites=1, field_px=150, planes=9, cells_per_field=14)
    return make_plate(tmp_path_factory.mktemp("plate"), design)


@pytest.fixture(scope="module")
def whole(plate_csv, tmp_path_factory):
    """A training of two epochs: (checkpoint, its file)."""
    out = tmp_path_factory.mktemp("model") / "model.safetensors"
    return train_and_save(plate_csv, out, SMALL, say=lambda text: None), out


def edited(plate_csv, tmp_path, change):
    from gradcamo.files.plates import read_plate

    table = change(read_plate(plate_csv))
    table.to_csv(tmp_path / "plate.csv", index=False)
    return tmp_path / "plate.csv"


def same_weights(a, b):
    ours, theirs = a.network.state_dict(), b.network.state_dict()
    return all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_held_out_wells_take_no_part_in_training(whole):
    recipe = whole[0].recipe
    assert recipe["train_wells"] == ["D02", "E02"]
    assert recipe["test_wells"] == ["D03", "E03"]
    wells = {(row["well"], row["split"]) for row in recipe["cells_per_well"]}
    assert wells == {
        *((well, split) for well in ("D02", "E02") for split in ("train", "validation")),
        ("D03", "test"),
        ("E03", "test"),
    }


def test_every_whole_cell_is_used_once_and_no_partial_one(plate_csv, whole):
    from gradcamo.files.plates import read_plate

    expected = {"train": 0, "test": 0}
    for _, row in read_plate(plate_csv).iterrows():
        cells = CellCrops(read_stack(row["image"]), read_labels(row["labels"])).table
        split = "train" if row["well"].endswith("02") else "test"
        expected[split] += int((~cells["touches_border"]).sum())
    counted = {k: sum(v.values()) for k, v in whole[0].recipe["cells"].items()}
    assert counted["train"] + counted["validation"] == expected["train"]
    assert counted["test"] == expected["test"]


def test_statistics_are_those_of_the_training_crops(plate_csv, whole):
    from gradcamo.files.plates import read_plate

    checkpoint = whole[0]
    cells = index_cells(leave_wells_out(read_plate(plate_csv), SMALL), SMALL)
    dataset = CellDataset(cells[cells["split"] == "test"], checkpoint.classes, SMALL)
    voxels = np.stack([dataset[i][0].numpy() for i in range(len(dataset))]).astype(np.float64)
    mean, std = channel_statistics(cells[cells["split"] == "test"], SMALL)
    np.testing.assert_allclose(mean, voxels.mean((0, 2, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(std, voxels.std((0, 2, 3, 4)), rtol=1e-5)


def test_a_training_crop_is_the_crop_that_is_audited(plate_csv):
    from gradcamo.files.plates import read_plate

    cells = index_cells(leave_wells_out(read_plate(plate_csv), SMALL), SMALL)
    cell = cells.iloc[3]
    dataset = CellDataset(cells, ("control", "40.00x"), SMALL, with_masks=True)
    image, target, mask = dataset[3]
    crops = CellCrops(read_stack(cell["image"]), read_labels(cell["labels"]), SMALL.crop)
    crop = crops[crops.table["label"].tolist().index(cell["label"])]
    np.testing.assert_array_equal(image, crop.image)
    np.testing.assert_array_equal(mask, crop.labels == cell["label"])
    assert ("control", "40.00x")[target] == cell["treatment"]


def test_every_epoch_shows_every_cell_once_in_another_order():
    order = EpochOrder(50, seed=1)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == [(0, i) for i in range(50)]
    assert sorted(second) == [(1, i) for i in range(50)]
    assert [i for _, i in first] != [i for _, i in second]


def test_the_file_holds_the_best_weights_and_the_recipe(whole):
    checkpoint, out = whole
    loaded = Checkpoint.load(out)
    assert loaded.hash == checkpoint.hash
    recipe = loaded.recipe
    losses = [epoch["validation_loss"] for epoch in recipe["history"]]
    assert recipe["best_epoch"] == 1 + int(np.argmin(losses))
    assert TrainSettings(**recipe["settings"]) == SMALL
    assert recipe["data"]["design"]["seed"] == 0


def test_the_report_counts_what_the_checkpoint_predicts(plate_csv, whole):
    from gradcamo.auditing.stack import audit
    from gradcamo.files.plates import read_plate

    checkpoint, out = whole
    report = json.loads(out.with_name("model.report.json").read_text())
    right, n = 0, 0
    for _, row in read_plate(plate_csv).iterrows():
        if row["well"] in checkpoint.recipe["test_wells"]:
            table = audit(read_stack(row["image"]), read_labels(row["labels"]), checkpoint)
            table = table[~table["touches_border"]]
            right += int((table["predicted"] == row["treatment"]).sum())
            n += len(table)
    assert report["accuracy"]["test"] == pytest.approx(right / n)
    assert np.trace(report["confusion"]["test"]) == right
    assert np.sum(report["confusion"]["test"]) == n
    assert f"{right / n:.1%}" in out.with_name("model.report.txt").read_text()
    assert out.with_name("model.report.png").stat().st_size > 5_000


def test_a_seed_gives_the_same_network_twice(plate_csv, whole):
    assert same_weights(train(plate_csv, SMALL), whole[0])


def test_a_training_leaves_the_random_numbers_of_its_caller_alone(plate_csv):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(plate_csv, settings(epochs=1))
    assert torch.equal(torch.rand(3), expected)


class _Killed(Exception):
    pass


def test_a_resumed_training_equals_an_uninterrupted_one(plate_csv, whole, tmp_path):
    checkpoint, _ = whole
    state = tmp_path / "model.state"

    def kill(event):
        if event.stage == "training" and event.epoch == 2 and event.done == 2:
            raise _Killed

    with pytest.raises(_Killed):
        train(plate_csv, SMALL, kill, state_file=state)
    seen = []
    resumed = train(plate_csv, SMALL, seen.append, state_file=state, resume=True)
    assert {event.epoch for event in seen if event.stage == "training"} == {2}
    assert resumed.recipe["history"] == checkpoint.recipe["history"]
    assert same_weights(resumed, checkpoint)


def test_the_state_is_no_pickle_and_serves_no_other_settings(plate_csv, tmp_path):
    state = tmp_path / "model.state"
    train(plate_csv, settings(epochs=1), state_file=state)
    assert "optimizer_states" in torch.load(state, weights_only=True)
    with pytest.raises(GradcamoError, match=r"learning_rate is 0\.001, was 0\.003"):
        train(plate_csv, settings(learning_rate=1e-3), state_file=state, resume=True)


def test_stopping_keeps_the_best_weights_so_far(plate_csv, whole, tmp_path):
    seen = []
    out = tmp_path / "model.safetensors"

    def stop():
        return bool(seen) and seen[-1].epoch == 2

    stopped = train_and_save(plate_csv, out, SMALL, lambda text: None, seen.append, stop)
    assert [event.done for event in seen if event.epoch == 2] == [1]
    assert stopped.recipe["ended"] == "stopped"
    assert stopped.recipe["history"] == whole[0].recipe["history"][:1]
    assert Checkpoint.load(out).recipe["accuracy"] is None


def test_stopping_in_the_first_epoch_leaves_nothing_behind(plate_csv, tmp_path):
    out = tmp_path / "model.safetensors"
    with pytest.raises(GradcamoError, match="nothing to keep"):
        train_and_save(plate_csv, out, SMALL, lambda text: None, stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_training_stops_when_validation_gets_no_better(plate_csv):
    # with steps this small nothing changes, so the second epoch is no better than the first
    frozen = settings(epochs=9, patience=1, learning_rate=1e-30, batch_norm_momentum=1e-30)
    recipe = train(plate_csv, frozen).recipe
    assert recipe["ended"].startswith("early")
    assert (recipe["best_epoch"], len(recipe["history"])) == (1, 2)


def test_too_few_cells_for_a_batch_are_refused(plate_csv):
    with pytest.raises(GradcamoError, match="a batch takes 64: add stacks or lower --batch-size"):
        train(plate_csv, settings(batch_size=64))


def test_stacks_without_labels_are_refused(plate_csv, tmp_path):
    csv = edited(plate_csv, tmp_path, lambda table: table.drop(columns="labels"))
    with pytest.raises(GradcamoError, match="has no labels: segment it first"):
        train(csv, SMALL)


def test_stacks_of_other_channels_or_voxels_are_refused_by_name(plate_csv, tmp_path):
    import tifffile

    from gradcamo.files.plates import read_plate

    image = read_plate(plate_csv)["image"].iloc[1]
    for name, size, problem in (
        ("DAPI", 0.701, r"has the channels .*DAPI"),
        ("Hoechst", 0.35, r"voxels of \(0\.6, 0\.701, 0\.701\)"),
    ):
        stack = read_stack(image)
        sizes = {f"PhysicalSize{a}": s for a, s in zip("ZYX", (0.6, size, size), strict=True)}
        tifffile.imwrite(
            tmp_path / "odd.ome.tif",
            np.asarray(stack.data),
            photometric="minisblack",
            metadata={
                "axes": "CZYX",
                "Channel": {"Name": [name, *stack.channels[1:]]},
                **sizes,
                **{f"PhysicalSize{a}Unit": "µm" for a in "ZYX"},
            },
        )
        csv = edited(
            plate_csv,
            tmp_path,
            lambda table: table.assign(
                image=[tmp_path / "odd.ome.tif" if i == 1 else p for i, p in enumerate(table.image)]
            ),
        )
        with pytest.raises(GradcamoError, match=problem) as error:
            train(csv, SMALL)
        assert "odd.ome.tif" in str(error.value)


def test_one_well_per_treatment_is_refused(plate_csv, tmp_path):
    csv = edited(plate_csv, tmp_path, lambda t: t[t["well"].isin(["D02", "E03"])])
    with pytest.raises(GradcamoError, match="leaving wells out needs two"):
        train(csv, SMALL)


def test_cells_without_a_treatment_take_no_part(plate_csv, tmp_path):
    from gradcamo.files.plates import read_plate

    first = read_plate(plate_csv).iloc[0]
    ids = np.unique(read_labels(first["labels"]))[1:]
    listed = pd.DataFrame({"label": ids, "treatment": [""] * len(ids)})
    listed.to_csv(tmp_path / "cells.csv", index=False)
    csv = edited(
        plate_csv,
        tmp_path,
        lambda t: t.assign(cells=["cells.csv" if i == 0 else "" for i in range(len(t))]),
    )
    with pytest.raises(GradcamoError, match="control has no cells in the train wells"):
        train(csv, SMALL)


def test_a_layer_audit_scores_each_held_out_cell_as_an_audit_does(plate_csv, whole):
    from gradcamo.auditing.stack import audit
    from gradcamo.files.plates import read_plate
    from gradcamo.settings import AuditSettings
    from gradcamo.training.layer_audit import layer_audit, save_layer_audit

    checkpoint = whole[0]
    found = layer_audit(plate_csv, checkpoint, ("block_2", "head"))
    cells = found.cells[found.cells["layer"] == "block_2"]
    expected = []
    for _, row in read_plate(plate_csv).iterrows():
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
    files = save_layer_audit(found, plate_csv.parent / "layers")
    assert all(file.stat().st_size > 0 for file in files)


def test_with_grad_camo_in_the_loss_the_report_tells_every_layers_score(plate_csv, whole):
    from gradcamo.training.report import report_text

    recipe = train(plate_csv, settings(epochs=1, regularise_weight=1, layer="block_2")).recipe
    assert 0 < recipe["history"][0]["train_grad_camo"] < 1
    layers = [row["layer"] for row in recipe["layer_scores"]]
    assert layers == [*(f"block_{i}" for i in range(16)), "head"]
    gamed = recipe | {"layer_notes": ["do not trust it"]}
    assert "block_2   Grad-CAMO" in report_text(gamed)
    assert report_text(gamed).endswith("Note: do not trust it")
    assert "layer_scores" not in whole[0].recipe  # it is off by default


def test_a_probe_reads_what_profiles_hold_and_nothing_else():
    from gradcamo.training.layer_audit import _probe

    rng = np.random.default_rng(0)
    treatment = pd.Series(["a", "b"] * 200)
    held_out = np.arange(400) >= 200
    noise = rng.normal(size=(400, 30))
    signal = noise + 2 * (treatment == "b").to_numpy()[:, None]
    assert _probe(signal, treatment, held_out) > 0.95
    assert 0.35 < _probe(noise, treatment, held_out) < 0.65


def test_out_of_gpu_memory_halves_the_batch_and_says_so(plate_csv):
    seen = []

    def too_large(event):
        seen.append(event)
        if event.stage == "training" and not any(e.note for e in seen):
            raise torch.OutOfMemoryError("CUDA out of memory")

    recipe = train(plate_csv, settings(epochs=1), too_large).recipe
    assert [event.note for event in seen if event.note] == [
        "out of GPU memory: going on with batches of 2"
    ]
    assert (recipe["settings"]["batch_size"], recipe["settings"]["accumulate"]) == (2, 2)
