"""Profiles of many cells: whitening, maps, confounding, cut-offs."""
