"""Grad-CAMO: is the network looking at the cell?

The public names stand in ``__init__.pyi``; each is loaded when it is first used, so that importing
the package is quick.
"""

import logging
from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
logging.getLogger(__name__).addHandler(logging.NullHandler())  # else Python prints each record
__version__ = version("napari-gradcamo")
