"""Measurements of Trunkline; results are JSON."""
