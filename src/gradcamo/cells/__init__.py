"""Cells and their crops, and how a localization map overlaps with them."""
