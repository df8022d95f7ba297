"""Where a layer looks: stride and offset of its grid, worked out from the network's own operations.

What a layer gives is a map only where its axes are proved to be cells, channels and those of the
input, in this order. One forward pass says so (`following`), on the meta device: shapes only, no
arithmetic. A network that has none there, since it asks for values, runs on one cell instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from gradcamo.cells.upsampling import Placement
from gradcamo.errors import GradcamoError
from gradcamo.networks.efficientnet import Tap, find_taps, taps
from gradcamo.networks.following.forward import one_pass
from gradcamo.networks.grids import Reshape, Sight, Unproved, prove
from gradcamo.networks.outputs import is_transformer, logits_of, unwrapped
from gradcamo.networks.reshaping import reshaped
from gradcamo.settings import Alignment


class LayerInfo(NamedTuple):
    """A layer's channels and grid for a given input, and its sight where it can be derived.

    ``uses`` counts its uses in one forward pass, of which the last is explained; ``reshaped`` says
    that its output is a map only after ``reshape``.
    """

    channels: int
    grid: tuple[int, ...]
    sight: Sight | None
    uses: int = 1
    reshaped: bool = False


def describe_layers(
    network: nn.Module,
    input_shape: Sequence[int],
    layers: Iterable[str | nn.Module] | None = None,
    reshape: Reshape | None = None,
) -> dict[str, LayerInfo]:
    """Shape, stride and receptive-field offset of a network's layers.

    Parameters
    ----------
    network : any
    input_shape : (C, *spatial) of one cell
    layers : names or modules; every layer whose grid is proved by default
    reshape : function from what a layer gives to (N, C', *grid), for layers that give something
        else. For layers that are named, it is taken at its word where their axes are not known

    Raises
    ------
    GradcamoError
        If the network cannot take such an input, or a layer that is named has no proved grid.
    """
    network = unwrapped(network)
    wanted = taps(network) if layers is None else find_taps(network, layers)
    seen = survey(network, input_shape, wanted, reshape, () if layers is None else wanted)
    for info in seen.values():
        if isinstance(info, str) and layers is not None:
            raise GradcamoError(info)
    return {name: info for name, info in seen.items() if isinstance(info, LayerInfo)}


def used_again(layer: str, info: LayerInfo) -> str:
    """What to say of a layer that is used several times in one pass."""
    return (
        f"layer {layer!r} is used {info.uses} times in one forward pass: its last use is explained"
    )


def survey(
    network: nn.Module,
    input_shape: Sequence[int],
    wanted: Mapping[str, Tap],
    reshape: Reshape | None = None,
    named: Collection[str] = (),
) -> dict[str, LayerInfo | str]:
    """As `describe_layers`; for a layer that is no map, why not.

    Parameters
    ----------
    named : layers for which ``reshape`` is used in any case and taken at its word; for others it is
        used where they are no maps, and believed where the axes of what it makes are known
    """
    seen = one_pass(network, input_shape, wanted)
    found: dict[str, LayerInfo | str] = {}
    for name in wanted:
        uses = seen.given.get(name, [])
        if not uses:
            found[name] = f"layer {name!r} {_untouched(wanted[name].module)}"
            continue
        attempts = [reshape] if reshape is None or name in named else [None, reshape]
        for attempt in attempts:
            info = _one(name, uses, seen.cells, input_shape[1:], attempt, name in named)
            if isinstance(info, LayerInfo) or name not in found:
                found[name] = info
    return found


def _one(
    name: str,
    uses: Sequence[Any],
    cells: int,
    size: Sequence[int],
    reshape: Reshape | None,
    trusted: bool,
) -> LayerInfo | str:
    told = f"layer {name!r}"
    try:
        given = uses[-1]
        if reshape is not None:
            given = reshaped(reshape, given, cells)
            told = f"{told}, after reshape,"
        sight = prove(given, cells, size, trusted and reshape is not None)
    except Unproved as reason:
        return f"{told} {reason}"
    channels, *grid = given.shape[1:]
    return LayerInfo(channels, tuple(grid), sight, len(uses), reshape is not None)


def _untouched(layer: nn.Module) -> str:
    cure = (
        ": inside scripted and traced modules nothing can be seen. Load their weights into the "
        "Python class that they were made from: network.load_state_dict(scripted.state_dict())"
        if isinstance(layer, torch.jit.ScriptModule)
        else ": choose one that the network uses"
    )
    return f"took no part in the forward pass{cure}"


def layer_table(layers: Mapping[str, LayerInfo]) -> pd.DataFrame:
    """The layers of a network that can be explained, from the input on.

    Parameters
    ----------
    layers : mapping of str to LayerInfo
        ``layers`` of a `Checkpoint`.

    Returns
    -------
    DataFrame
        One row a layer: layer, channels, grid (z, y, x), stride and offset in voxels of the
        network's input (None where they are not known).

    Examples
    --------
    >>> import gradcamo as gc
    >>> gc.layer_table(gc.Checkpoint.load("bundled").layers).head(2)[["layer", "grid", "stride"]]
         layer          grid           stride
    0  block_0  (16, 24, 24)  (4.0, 4.0, 4.0)
    1  block_1   (8, 12, 12)  (8.0, 8.0, 8.0)
    """
    rows = [
        (name, info.channels, info.grid, *(info.sight or (None, None)))
        for name, info in layers.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "channels", "grid", "stride", "offset"])


def count_classes(network: nn.Module, input_shape: Sequence[int]) -> int:
    """How many logits a network gives for one cell of shape (C, *spatial).

    Raises
    ------
    GradcamoError
        If the network cannot take such an input, or returns something else than logits.
    """
    network = unwrapped(network)
    seen = one_pass(network, input_shape)
    out = seen.out[0] if is_transformer(network) and isinstance(seen.out, tuple) else seen.out
    return logits_of(out, seen.cells).shape[1]


def default_layer(network: nn.Module, input_shape: Sequence[int]) -> str:
    """The deepest layer with at least 6 voxels along y and x."""
    layers = describe_layers(network, input_shape)
    fine = [name for name, info in layers.items() if info.grid and min(info.grid[-2:]) >= 6]
    if not fine:
        raise GradcamoError(
            f"no layer has 6 voxels along y and x for an input of {tuple(input_shape)}: "
            "name the layer to explain, or use a larger input"
        )
    return fine[-1]


def place(
    info: LayerInfo, input_size: Sequence[int], crop_size: Sequence[int], alignment: Alignment
) -> Placement | None:
    """Where a layer's grid lies in the crop; None for the published, plain way.

    Raises
    ------
    GradcamoError
        If the layer's offset cannot be derived from the network.
    """
    if alignment == "paper":
        return None
    if info.sight is None:
        raise GradcamoError(
            "the receptive field of this layer cannot be derived from the network: "
            "use alignment 'paper'"
        )
    zoom = [crop / size for crop, size in zip(crop_size, input_size, strict=True)]
    stride, offset = info.sight
    return Placement(
        tuple(s * f for s, f in zip(stride, zoom, strict=True)),
        tuple((o + 0.5) * f - 0.5 for o, f in zip(offset, zoom, strict=True)),
    )
