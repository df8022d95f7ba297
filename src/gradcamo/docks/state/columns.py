"""How the columns of a table are called and explained on the screen."""

from __future__ import annotations

MEANING = {
    "image": "the stack that the cell lies in",
    "label": "the cell's number in the labels image",
    "predicted": "the treatment that the network takes the cell for",
    "confidence": "probability of the predicted treatment (softmax)",
    "layer": "the layer that was explained",
    "alignment": "how the maps were laid over the crop",
    "gradients": "averaged over the layer's grid (Grad-CAM) or each voxel's own (HiResCAM)",
    "grad_camo": "share of the network's attention that lies on the cell itself",
    "neighbour_share": "share of the attention that lies on other cells",
    "background_share": "share of the attention that lies outside all cells",
    "chance": "what a flat map scores: the cell's share of the crop's voxels",
    "ceiling": "the best that any map on this layer's grid can score for this cell",
    "attainable": "0 = no better than a flat map, 1 = as good as this layer allows",
    "cell_in_crop": "share of the cell that fits into its crop",
    "touches_border": "cut off by the border in y or x: kept, but not scored",
    "volume_um3": "volume of the cell in µm³",
    "centroid_z": "centre of the cell, in voxels",
    "centroid_y": "centre of the cell, in voxels",
    "centroid_x": "centre of the cell, in voxels",
    "flagged": "scores less than the cut-off, or flagged by hand",
    "note": "your remark (double-click to write)",
}
COLUMNS = tuple(MEANING)
TITLES = {
    "label": "cell",
    "grad_camo": "Grad-CAMO",
    "neighbour_share": "neighbours",
    "background_share": "background",
    "volume_um3": "volume µm³",
    "touches_border": "at border",
}
FIRST_SHOWN = (
    "label",
    "flagged",
    "grad_camo",
    "neighbour_share",
    "background_share",
    "chance",
    "ceiling",
    "attainable",
    "predicted",
    "confidence",
    "volume_um3",
    "touches_border",
    "note",
)
