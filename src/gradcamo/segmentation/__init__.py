"""Cellpose, plane by plane."""
