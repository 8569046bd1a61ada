"""Figures of studies, runs and machines, and the pages that contain them."""
