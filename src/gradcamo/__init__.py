"""Grad-CAMO: is the network looking at the cell?

The public names are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

_HOME = {
    "GradcamoError": "errors",
    "ZStack": "types",
    "CellCrop": "types",
    "CamResult": "types",
    "Profiles": "types",
    "CropSettings": "settings",
    "SegmentSettings": "settings",
    "TrainSettings": "settings",
    "AuditSettings": "settings",
    "read_stack": "files.stacks",
    "read_labels": "files.stacks",
    "read_plate": "files.plates",
    "PlateSettings": "settings",
    "audit_plate": "plate.run",
    "CellCrops": "cells.crops",
    "Whitening": "profiles.whiten",
    "efficientnet3d": "networks.efficientnet",
    "load_efficientnet_pytorch_3d": "networks.published",
    "grad_cam": "networks.gradcam",
    "upsample_cam": "cells.overlap",
    "grad_camo": "cells.overlap",
    "attention_shares": "cells.overlap",
    "Checkpoint": "networks.checkpoint",
    "segment": "segmentation.planes",
    "train": "training.train",
    "audit": "auditing.stack",
}

__version__ = _version("napari-gradcamo")
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"gradcamo.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gradcamo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
