"""Checkpoints as safetensors files: weights, and what goes with them as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from gradcamo.errors import GradcamoError
from gradcamo.files.seal import check_seal
from gradcamo.networks.efficientnet import efficientnet3d, find_taps
from gradcamo.settings import CropSettings

C = TypeVar("C")

FORMAT = "gradcamo-checkpoint-1"
_AS_THEY_ARE = (
    *("classes", "channels", "channel_mean", "channel_std"),
    *("input_size", "layer", "spacing_um"),
)

_FINITE = Annotated[float, Field(allow_inf_nan=False)]
_STEP = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Architecture(_Said):
    name: str
    in_channels: Annotated[int, Field(ge=1, le=1000)]
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)]
    width: Annotated[float, Field(gt=0, le=10)] = 1.0


class _Described(_Said):
    """What a file says of its network, within bounds."""

    architecture: _Architecture
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    channel_mean: tuple[_FINITE, ...]
    channel_std: tuple[_STEP, ...]
    crop: dict[str, Any]
    input_size: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=3, max_length=3)
    ]
    layer: str
    spacing_um: tuple[_STEP, _STEP, _STEP] | None
    recipe: dict[str, Any]
    outputs: str = "classes"


def check_described(text: str) -> None:
    """Refuse what no network can be built from, before memory is taken for it.

    Raises
    ------
    ValueError
        With the entry that is missing or out of bounds.
    """
    try:
        _Described.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from error


def check_weights(network: nn.Module, path: Path) -> None:
    """Compare names and sizes of weights with a network's, before memory is taken for them.

    Parameters
    ----------
    network : on the device "meta"
    path : of the file

    Raises
    ------
    ValueError
        If they differ.
    """
    from safetensors import safe_open

    wanted = {name: list(value.shape) for name, value in network.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"weights {name} have the size {found.get(name)}, its network's {wanted.get(name)}"
            )


def packed(checkpoint: Mapping[str, Any], **further: str) -> bytes:
    """The bytes of a file, the same for the same network.

    Parameters
    ----------
    checkpoint : its fields by name
    further : what else the file says of itself
    """
    from safetensors.torch import save

    described = {name: checkpoint[name] for name in _AS_THEY_ARE}
    described |= {name: dict(checkpoint[name]) for name in ("architecture", "recipe")}
    described["crop"] = checkpoint["crop"].described()
    if (reshape := checkpoint["reshape"]) is not None:
        described["reshape"] = getattr(reshape, "__qualname__", repr(reshape))
    if checkpoint["outputs"] != "classes":  # else it goes without saying
        described["outputs"] = checkpoint["outputs"]
    weights = checkpoint["network"].state_dict()
    # clones, because the format does not let weights share memory
    state = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    said = json.dumps({"format": FORMAT, **described, **further}, sort_keys=True)
    return save(state, {"gradcamo": said})


def read(path: Path, make: Callable[..., C]) -> C:
    """What is made of a file's network and of all that the file says of it.

    Parameters
    ----------
    path : of the file
    make : takes the fields of a checkpoint by name

    Raises
    ------
    GradcamoError
        If the file is missing or is not a checkpoint of this project.
    """
    try:
        described, state = unpacked(path)
        network = efficientnet3d(**described["architecture"])
        network.load_state_dict(state)
        find_taps(network, [described["layer"]])
        return make(
            network=network,
            classes=tuple(described["classes"]),
            channels=tuple(described["channels"]),
            channel_mean=tuple(described["channel_mean"]),
            channel_std=tuple(described["channel_std"]),
            crop=CropSettings(**described["crop"]),
            input_size=tuple(described["input_size"]),
            layer=described["layer"],
            spacing_um=described["spacing_um"] and tuple(described["spacing_um"]),
            architecture=described["architecture"],
            recipe=described["recipe"],
            outputs=described.get("outputs", "classes"),
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, GradcamoError) and str(path) in str(error):
            raise  # it says all there is to say of the file
        raise GradcamoError(
            f"{path} is a damaged or newer checkpoint: {error}; train it again or update "
            "napari-gradcamo"
        ) from error


def unpacked(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says of a network, and its weights; nothing is unpickled.

    Raises
    ------
    GradcamoError
        If the file is missing or is not a checkpoint of this project.
    ValueError
        If what it says of its network is out of bounds, or its weights are another network's.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise GradcamoError(
            f"{path} does not exist: give the path of a checkpoint (.safetensors); "
            "'gradcamo train' makes one"
        )
    check_seal(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("gradcamo", "{}")
        described = json.loads(text)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise GradcamoError(
            f"{path} is not a checkpoint ({error}): expected a .safetensors file that "
            "'gradcamo train' wrote"
        ) from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise GradcamoError(
            f"{path} holds weights but no recipe ({FORMAT}): expected a file that "
            "'gradcamo train' wrote"
        )
    check_described(text)
    with torch.device("meta"):
        check_weights(efficientnet3d(**described["architecture"]), path)
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return described, state
