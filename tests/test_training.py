"""A small real training: it learns from the training wells alone, and repeats itself."""

import json
import pickle

import lightning
import numpy as np
import pytest
import torch
from small_training import SMALL, same_weights, settings
from threadpoolctl import threadpool_limits

from gradcamo.cells.crops import CellCrops
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels
from gradcamo.files.stacks import read_stack
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.networks.preprocess import resize, standardise
from gradcamo.progress import Watch
from gradcamo.settings import TrainSettings
from gradcamo.training.callbacks import BatchNormAverages, Stopped
from gradcamo.training.cell_index import index_cells, training_cells
from gradcamo.training.dataset import (
    CellDataset,
    EpochOrder,
    averaging_loader,
    channel_statistics,
    loader,
)
from gradcamo.training.split import leave_wells_out
from gradcamo.training.train import train


def test_held_out_wells_take_no_part_in_training(trained):
    recipe = trained[0].recipe
    assert recipe["train_wells"] == ["D02", "E02"]
    assert recipe["test_wells"] == ["D03", "E03"]
    wells = {(row["well"], row["split"]) for row in recipe["cells_per_well"]}
    assert wells == {
        *((well, split) for well in ("D02", "E02") for split in ("train", "validation")),
        ("D03", "test"),
        ("E03", "test"),
    }


def test_every_whole_cell_is_used_once_and_no_partial_one(small_plate, trained):
    from gradcamo.files.plates import read_plate

    expected = {"train": 0, "test": 0}
    for _, row in read_plate(small_plate).iterrows():
        cells = CellCrops(read_stack(row["image"]), read_labels(row["labels"])).table
        split = "train" if row["well"].endswith("02") else "test"
        expected[split] += int((~cells["touches_border"]).sum())
    counted = {k: sum(v.values()) for k, v in trained[0].recipe["cells"].items()}
    assert counted["train"] + counted["validation"] == expected["train"]
    assert counted["test"] == expected["test"]


def test_statistics_are_those_of_the_training_crops(small_plate, trained):
    from gradcamo.files.plates import read_plate

    checkpoint = trained[0]
    cells = index_cells(leave_wells_out(read_plate(small_plate), SMALL), SMALL)
    dataset = CellDataset(cells[cells["split"] == "test"], checkpoint.classes, SMALL)
    voxels = np.stack([dataset[i][0].numpy() for i in range(len(dataset))]).astype(np.float64)
    mean, std = channel_statistics(cells[cells["split"] == "test"], SMALL)
    np.testing.assert_allclose(mean, voxels.mean((0, 2, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(std, voxels.std((0, 2, 3, 4)), rtol=1e-5)


def test_a_training_crop_is_the_crop_that_is_audited(small_plate):
    from gradcamo.files.plates import read_plate

    cells = index_cells(leave_wells_out(read_plate(small_plate), SMALL), SMALL)
    cell = cells.iloc[3]
    dataset = CellDataset(cells, ("control", "40.00x"), SMALL, with_masks=True)
    image, target, mask = dataset[3]
    crops = CellCrops(read_stack(cell["image"]), read_labels(cell["labels"]), SMALL.crop)
    crop = crops[crops.table["label"].tolist().index(cell["label"])]
    np.testing.assert_array_equal(image, crop.image)
    np.testing.assert_array_equal(mask, crop.labels == cell["label"])
    assert ("control", "40.00x")[target] == cell["treatment"]


def test_worker_processes_cut_the_same_crops_and_hold_no_stack(small_plate):
    from gradcamo.files.plates import read_plate

    cells = index_cells(leave_wells_out(read_plate(small_plate), SMALL), SMALL)
    classes = ("control", "40.00x")
    alone, helped = (
        list(loader(cells, classes, settings(workers=workers), training=True)) for workers in (0, 2)
    )
    assert len(alone) == len(helped) == len(cells) // SMALL.batch_size
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    dataset = CellDataset(cells, classes, SMALL)
    dataset[0]
    (stack,) = dataset._open.values()
    assert isinstance(stack.data, np.memmap)
    assert len(pickle.dumps(dataset)) < stack.data.nbytes / 50  # what a worker is sent


def test_every_epoch_shows_every_cell_once_in_another_order():
    order = EpochOrder(50, seed=1)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == [(0, i) for i in range(50)]
    assert sorted(second) == [(1, i) for i in range(50)]
    assert [i for _, i in first] != [i for _, i in second]


def test_the_file_holds_the_best_weights_and_the_recipe(trained):
    checkpoint, out = trained
    loaded = Checkpoint.load(out)
    assert loaded.hash == checkpoint.hash
    recipe = loaded.recipe
    losses = [epoch["validation_loss"] for epoch in recipe["history"]]
    assert recipe["best_epoch"] == 1 + int(np.argmin(losses))
    assert TrainSettings(**recipe["settings"]) == SMALL
    assert recipe["data"]["design"]["seed"] == 0


def test_the_report_counts_what_the_checkpoint_predicts(small_plate, trained):
    from gradcamo.auditing.stack import audit
    from gradcamo.files.plates import read_plate

    checkpoint, out = trained
    report = json.loads(out.with_name("model.report.json").read_text())
    right, n = 0, 0
    for _, row in read_plate(small_plate).iterrows():
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


def test_a_seed_gives_the_same_network_twice(small_plate, trained):
    assert same_weights(train(small_plate, SMALL), trained[0])


def test_a_seed_gives_the_same_network_whatever_another_library_told_openmp(small_plate, trained):
    """As Numba does where UMAP first uses it: other threads, other sums."""
    usual = torch.get_num_threads()
    with threadpool_limits(usual + 1, "openmp"):
        assert torch.get_num_threads() == usual + 1
        again = train(small_plate, SMALL)
    assert same_weights(again, trained[0])
    assert again.recipe["threads"] == usual
    assert again.recipe["history"] == trained[0].recipe["history"]


def test_batch_norm_has_the_averages_of_the_weights_that_are_kept(small_plate):
    """Batch by batch the stem's statistics are taken by hand, with the weights of the file."""
    one = settings(epochs=1, batch_norm_cells=12)
    checkpoint = train(small_plate, one)
    cells, _ = training_cells(small_plate, one)
    taken = averaging_loader(cells[cells["split"] == "train"], checkpoint.classes, one)
    mean, variance = [], []
    for images, *_ in taken:
        x = resize(
            standardise(images, checkpoint.channel_mean, checkpoint.channel_std), one.input_size
        )
        y = checkpoint.network._conv_stem(x).double()
        mean.append(y.mean((0, 2, 3, 4)))
        variance.append(y.var((0, 2, 3, 4)))
    norm = checkpoint.network._bn0
    assert len(taken.dataset) == 12
    torch.testing.assert_close(
        norm.running_mean.double(), sum(mean) / len(mean), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        norm.running_var.double(), sum(variance) / len(mean), rtol=1e-4, atol=1e-5
    )


class Normed(lightning.LightningModule):
    """A network of one layer."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, images):
        return self.norm(images)


def test_batch_norm_is_given_back_also_where_the_training_is_stopped_while_averaging():
    norm = torch.nn.BatchNorm3d(2, momentum=0.3)
    batches = [(torch.randn(2, 2, 3, 3, 3),)] * 3
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    averages = BatchNormAverages(batches, Watch(None, lambda: True))
    with pytest.raises(Stopped):
        averages.on_validation_start(trainer, Normed(norm))
    assert norm.momentum == 0.3
    assert not norm.training


def test_a_training_leaves_the_random_numbers_of_its_caller_alone(small_plate):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(small_plate, settings(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_training_stops_when_validation_gets_no_better(small_plate):
    # with steps this small nothing changes, so the second epoch is no better than the first
    frozen = settings(epochs=9, patience=1, learning_rate=1e-30)
    recipe = train(small_plate, frozen).recipe
    assert recipe["ended"].startswith("early")
    assert (recipe["best_epoch"], len(recipe["history"])) == (1, 2)


def test_with_grad_camo_in_the_loss_the_report_tells_every_layers_score(small_plate, trained):
    from gradcamo.training.report import report_text

    recipe = train(small_plate, settings(epochs=1, regularise_weight=1, layer="block_2")).recipe
    assert 0 < recipe["history"][0]["train_grad_camo"] < 1
    layers = [row["layer"] for row in recipe["layer_scores"]]
    assert layers == [*(f"block_{i}" for i in range(16)), "head"]
    gamed = recipe | {"layer_notes": ["do not trust it"]}
    assert "block_2   Grad-CAMO" in report_text(gamed)
    assert report_text(gamed).endswith("Note: do not trust it")
    assert "layer_scores" not in trained[0].recipe  # it is off by default


def test_a_loss_that_is_no_number_is_no_result(small_plate):
    with pytest.raises(GradcamoError, match=r"not a number.*lower the learning rate"):
        train(small_plate, settings(epochs=1, learning_rate=1e30))
