"""Every setting, said once: its default, its bounds and its help.

Command-line flags, dock rows, checkpoints and recipes all read these models. Each floor's settings
lie in the file that is called as the floor is.
"""

from gradcamo.settings.auditing import AuditSettings, CautionSettings, LayerAuditSettings
from gradcamo.settings.base import Alignment, Gradients, Outputs, Rescale, Settings
from gradcamo.settings.causal import CausalSettings, DonorSettings, SwapSettings
from gradcamo.settings.cells import CropSettings
from gradcamo.settings.files import FolderSettings, LabelReadSettings, OpenSettings, ReadSettings
from gradcamo.settings.networks import ImportSettings
from gradcamo.settings.plate import PlateSettings
from gradcamo.settings.segmentation import SegmentSettings
from gradcamo.settings.training import TrainSettings

__all__ = [
    "Alignment",
    "AuditSettings",
    "CausalSettings",
    "CautionSettings",
    "CropSettings",
    "DonorSettings",
    "FolderSettings",
    "Gradients",
    "ImportSettings",
    "LabelReadSettings",
    "LayerAuditSettings",
    "OpenSettings",
    "Outputs",
    "PlateSettings",
    "ReadSettings",
    "Rescale",
    "SegmentSettings",
    "Settings",
    "SwapSettings",
    "TrainSettings",
]
