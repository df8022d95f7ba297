"""Networks, their layers and maps, and the checkpoints that keep them."""
