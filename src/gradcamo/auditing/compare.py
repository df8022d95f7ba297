"""One cell through several eyes: every treatment's map at one layer, or every layer's map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from gradcamo.auditing.matching import target_class
from gradcamo.datatypes import CellCrop
from gradcamo.settings import AuditSettings
from gradcamo.views import CellView, cell_view

if TYPE_CHECKING:
    from gradcamo.networks.checkpoint import Checkpoint

By = Literal["treatments", "layers"]


def compare_maps(
    crop: CellCrop,
    checkpoint: Checkpoint,
    settings: AuditSettings | None = None,
    by: By = "treatments",
) -> list[CellView]:
    """The middle plane of a cell under each map, titled with its Grad-CAMO score.

    Parameters
    ----------
    crop : CellCrop
        A cell that `cells_of` found.
    checkpoint : Checkpoint
    settings : AuditSettings
        ``layer`` is used where treatments are compared, ``target`` where layers are.
    by : "treatments" or "layers"

    Returns
    -------
    One view per treatment, or per layer with a grid, in the order of the checkpoint.

    Raises
    ------
    GradcamoError
        If the layer or the treatment is unknown, or the network is a transformer (its attention
        is the same for every treatment) and treatments are compared.
    """
    from gradcamo.cells.upsampling import fine_map
    from gradcamo.networks.infer import explain

    settings = settings or AuditSettings()
    layer = settings.layer or checkpoint.layer
    if by == "treatments":
        asked: list[tuple[tuple[str, ...], int | None]]
        asked = [((layer,), k) for k in range(len(checkpoint.classes))]
    else:
        layers = tuple(name for name, info in checkpoint.layers.items() if len(info.grid) > 1)
        asked = [(layers, target_class(checkpoint, settings))]
    views = []
    for layers, target in asked:
        (seen,) = explain(
            [crop],
            checkpoint,
            layers,
            target,
            settings.alignment,
            device=settings.device,
            gradients=settings.gradients,
        )
        for one in seen:
            name = checkpoint.classes[one.target[0]] if by == "treatments" else one.layer
            score = one.shares["grad_camo"][0]
            told = "no evidence" if np.isnan(score) else f"{score:.2f}"
            views.append(
                cell_view(
                    crop, fine_map(one.maps[0], crop.labels.shape, one.placement), f"{name}: {told}"
                )
            )
    return views
