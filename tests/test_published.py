"""Published weights become checkpoints: recognised, completed, kept."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from published import PublishedLayout

from gradcamo import Checkpoint, GradcamoError, efficientnet3d, grad_cam
from gradcamo.cli.commands import main
from gradcamo.networks.published import describe_weights, import_published, published_state
from gradcamo.settings import ImportSettings

STAINS = ("Hoechst", "concanavalin", "SYTO14", "WGA", "phalloidin", "MitoTracker")
SIZE = (64, 96, 128)


@pytest.fixture(scope="module")
def weights(golden_state, tmp_path_factory):
    """The reference network's own .pth."""
    path = tmp_path_factory.mktemp("published") / "reference.pth"
    torch.save(golden_state, path)
    return path


def test_an_imported_network_gives_the_published_logits(weights, golden, golden_input, tmp_path):
    settings = ImportSettings(channels=STAINS, input_size=SIZE)
    import_published(weights, settings).save(tmp_path / "kept.safetensors")
    kept = Checkpoint.load(tmp_path / "kept.safetensors")
    assert kept.channels == STAINS
    assert kept.architecture["width"] == 0.25
    result = grad_cam(kept.network, golden_input, ("head",))
    np.testing.assert_allclose(result.logits.numpy(), golden["logits"], atol=1e-4)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_width_is_read_off_the_weights(width):
    state = PublishedLayout(in_channels=2, num_classes=3, width=width).state_dict()
    assert describe_weights(state) == ("efficientnet-b0", width, 2, 3)


@pytest.mark.parametrize("variant", ["efficientnet-b1", "efficientnet-b2"])
def test_the_variant_is_read_off_the_weights(variant):
    with torch.device("meta"):
        ours = efficientnet3d(variant, 4, 5).state_dict()
    # the published layout has the blocks of all stages in one list, and kernels y, x, z
    state = {}
    for key, value in ours.items():
        first, *rest = key.split(".")
        name = ".".join([first, *rest[1:]]) if first == "_blocks" else key
        state[name] = value.permute(0, 1, 3, 4, 2) if value.ndim == 5 else value
    assert describe_weights(state) == (variant, 1.0, 4, 5)


def test_weights_of_another_network_are_not_taken_for_an_efficientnet(golden_state):
    fewer = {k: v for k, v in golden_state.items() if not k.startswith("_blocks.15.")}
    with pytest.raises(GradcamoError, match="15 blocks"):
        describe_weights(fewer)
    with pytest.raises(GradcamoError, match="no efficientnet-b3"):
        describe_weights(golden_state, "efficientnet-b3")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"channels": ("DNA", "actin")}, r"6 channels, got 2 \(DNA, actin\)"),
        ({"channels": ("DNA",) * 6}, "each different"),
        ({"classes": ("control",)}, r"classes, got 1 \(control\)"),
        ({"channel_mean": (0.1,)}, "6 channel mean, got 1"),
        ({"channel_std": (0.0,) * 6}, "deviations positive"),
        ({"layer": "block_99"}, "block_99"),
        ({"input_size": (32, 96, 96)}, "at least 64 voxels"),
    ],
)
def test_what_does_not_fit_the_weights_is_refused(weights, wrong, said):
    with pytest.raises(GradcamoError, match=said):
        import_published(weights, ImportSettings(**{"input_size": SIZE, **wrong}))


def test_a_checkpoint_says_which_file_it_came_from(weights):
    from hashlib import sha256

    recipe = import_published(weights, ImportSettings(input_size=SIZE)).recipe
    assert recipe["imported_from"] == "reference.pth"
    assert recipe["sha256"] == sha256(weights.read_bytes()).hexdigest()


def test_the_command_writes_what_the_library_makes(weights, tmp_path, golden_state):
    out = tmp_path / "model.safetensors"
    classes = ",".join(f"dose {k}" for k in range(len(golden_state["_fc.bias"])))
    numbers = ",".join(["0.1"] * 6)
    result = CliRunner().invoke(
        main,
        ["import", str(weights), "-o", str(out), "--classes", classes, "--channels",
         ",".join(STAINS), "--channel-mean", numbers, "--channel-std", numbers,
         "--input-size", "64", "96", "128", "--crop-size-yx", "64", "96",
         "--spacing-um", "0.6", "0.35", "0.35"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "width 0.25" in result.output
    made = Checkpoint.load(out)
    assert ",".join(made.classes) == classes
    assert made.channel_mean == made.channel_std == (0.1,) * 6
    assert (made.crop.size_yx, made.spacing_um) == ((64, 96), (0.6, 0.35, 0.35))


def test_the_command_says_what_it_assumes_and_writes_nothing_when_it_fails(weights, tmp_path):
    out = tmp_path / "model.safetensors"
    run = CliRunner().invoke
    result = run(main, ["import", str(weights), "-o", str(out), "--channels", "DNA"])
    assert result.exit_code == 1
    assert "6 channels" in result.output
    assert not list(tmp_path.iterdir())
    assert "--channel-mean" in run(main, ["import", str(weights), "-o", str(out)]).output


def test_names_of_a_parallel_training_are_understood(golden_state, tmp_path):
    path = tmp_path / "parallel.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in golden_state.items()}}, path)
    assert published_state(path).keys() == golden_state.keys()


def test_weights_with_one_logit_tell_two_classes_that_are_named(tmp_path):
    torch.manual_seed(0)
    network = PublishedLayout(in_channels=2, num_classes=1, width=0.25)
    torch.save(network.state_dict(), tmp_path / "one.pth")
    about = {"channels": ("DNA", "actin"), "input_size": (64, 64, 64)}
    for classes in ((), ("control",), ("a", "b", "c")):
        with pytest.raises(GradcamoError, match="two classes apart, name both"):
            import_published(tmp_path / "one.pth", ImportSettings(classes=classes, **about))
    settings = ImportSettings(classes=("control", "treated"), **about)
    import_published(tmp_path / "one.pth", settings).save(tmp_path / "one.safetensors")
    kept = Checkpoint.load(tmp_path / "one.safetensors")
    assert kept.classes == ("control", "treated")
    assert kept.network._fc.out_features == 1
