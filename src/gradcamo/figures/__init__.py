"""The figures of a plate, for files and reports. Each function returns a matplotlib Figure.

Colours are Okabe and Ito's, told apart with every common colour vision.
"""

from gradcamo.figures.agreement import maps_against_causes
from gradcamo.figures.budgets import attention_budget, causal_budget
from gradcamo.figures.confusion import confusion_matrix
from gradcamo.figures.gallery import heatmap_gallery
from gradcamo.figures.groups import scores_by_dose_and_site
from gradcamo.figures.layer_scores import layer_audit
from gradcamo.figures.paper import SITES, save_figure
from gradcamo.figures.swaps import swapped_crops

__all__ = [
    "SITES",
    "attention_budget",
    "causal_budget",
    "confusion_matrix",
    "heatmap_gallery",
    "layer_audit",
    "maps_against_causes",
    "save_figure",
    "scores_by_dose_and_site",
    "swapped_crops",
]
