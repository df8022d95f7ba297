"""What is docked: the steps of the workbench, and views of cells, plates and networks."""
