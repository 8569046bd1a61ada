"""The lecture written out: what the rest of the project leaves to automatic differentiation, by hand and checked."""
