"""What a prediction owes to each region of a crop, asked by swapping it for other cells'."""
