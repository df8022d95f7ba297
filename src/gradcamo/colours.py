"""The colours of own cell, neighbours and background, wherever they are drawn.

Of Okabe and Ito's, told apart with every common colour vision, on black, white and heatmaps.
"""

OWN, NEIGHBOURS, BACKGROUND = "#56B4E9", "#009E73", "#BBBBBB"

SHARES = {
    "grad_camo": ("own cell", OWN),
    "neighbour_share": ("neighbours", NEIGHBOURS),
    "background_share": ("background", BACKGROUND),
}
"""Title and colour of each share of a map."""

CAUSAL_SHARES = {
    "causal_own": ("own cell", OWN),
    "causal_neighbour": ("neighbours", NEIGHBOURS),
    "causal_background": ("background", BACKGROUND),
}
"""The same of what a prediction owes to each region."""
