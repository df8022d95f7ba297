"""The workbench, step by step."""
