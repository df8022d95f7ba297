"""What is seen in napari: one dock per file, wiring only.

A dock gathers what a step needs, starts it, and shows what comes back. Results live in the
session of the viewer (``session.py``) and in layers, never in widgets.
"""
