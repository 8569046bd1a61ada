"""The lecture written out: what other code leaves to automatic differentiation is done here by hand, and checked."""
