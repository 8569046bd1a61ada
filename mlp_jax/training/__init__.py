"""Train one trial or hundreds of trials, with the same loop."""
