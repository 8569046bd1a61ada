"""Figures of studies, runs and networks, and the pages that contain them."""
