"""A plate and a network so small that a benchmark or a test of the machinery takes seconds."""

from __future__ import annotations

from pathlib import Path

import torch

import gradcamo as gc
from gradcamo.samples.design import PlateDesign
from gradcamo.samples.plate import make_plate

CHANNELS = ("Hoechst", "concanavalin", "SYTO14", "WGA", "phalloidin", "MitoTracker")


def tiny_plate(folder: Path, rows: str = "DE", sites: int = 2, **design: int) -> Path:
    """A plate of ``rows`` x 2 wells with about eight whole cells per stack."""
    settings = {"field_px": 128, "planes": 7, "cells_per_field": 14} | design
    return make_plate(folder, PlateDesign(rows=tuple(rows), sites=sites, **settings))


def tiny_checkpoint(classes: tuple[str, ...] = ("control", "40.00x"), seed: int = 0):
    """An untrained EfficientNet of a tenth of B0's width on 64-voxel crops, block_2 explained."""
    torch.manual_seed(seed)
    architecture = {
        "name": "efficientnet-b0",
        "in_channels": len(CHANNELS),
        "num_classes": len(classes),
        "width": 0.1,
    }
    return gc.Checkpoint(
        network=gc.efficientnet3d(**architecture),
        classes=classes,
        channels=CHANNELS,
        channel_mean=(0.2,) * len(CHANNELS),
        channel_std=(0.2,) * len(CHANNELS),
        crop=gc.CropSettings(size_yx=(48, 48)),
        input_size=(64, 64, 64),
        layer="block_2",
        spacing_um=(0.6, 0.701, 0.701),
        architecture=architecture,
    )
