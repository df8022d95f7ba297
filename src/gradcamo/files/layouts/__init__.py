"""How microscopes and labs lay out the files of a plate, one module a layout."""
