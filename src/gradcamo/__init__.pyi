from .auditing.stack import audit as audit, audit_batches as audit_batches
from .causal.attention import causal_attention as causal_attention
from .causal.bank import DonorBank as DonorBank
from .cells.crops import CellCrops as CellCrops
from .cells.overlap import (
    attention_shares as attention_shares,
    grad_camo as grad_camo,
)
from .cells.upsampling import upsample_cam as upsample_cam
from .datatypes import (
    CamResult as CamResult,
    CellCrop as CellCrop,
    Profiles as Profiles,
    ZStack as ZStack,
)
from .docks.entry.launch import open_window as open_window
from .errors import GradcamoError as GradcamoError
from .files.cytomining import cytomining_names as cytomining_names
from .files.labels import read_labels as read_labels
from .files.plates import read_plate as read_plate
from .files.single_cells.cells import (
    SingleCells as SingleCells,
    read_single_cells as read_single_cells,
)
from .files.single_cells.writing import write_single_cells as write_single_cells
from .files.stacks import read_stack as read_stack, write_stack as write_stack
from .files.store import read_profiles as read_profiles, read_table as read_table
from .networks.checkpoint import Checkpoint as Checkpoint
from .networks.efficientnet import efficientnet3d as efficientnet3d
from .networks.geometry import layer_table as layer_table
from .networks.gradcam import grad_cam as grad_cam
from .networks.published import load_efficientnet_pytorch_3d as load_efficientnet_pytorch_3d
from .networks.vit import (
    attention_last as attention_last,
    attention_rollout as attention_rollout,
)
from .plate.run import audit_plate as audit_plate
from .profiles.whiten import Whitening as Whitening
from .samples.design import PlateDesign as PlateDesign
from .samples.plate import make_plate as make_plate
from .segmentation.planes import segment as segment
from .settings import (
    AuditSettings as AuditSettings,
    CausalSettings as CausalSettings,
    CropSettings as CropSettings,
    PlateSettings as PlateSettings,
    SegmentSettings as SegmentSettings,
    TrainSettings as TrainSettings,
)
from .training.train import train as train

__version__: str
