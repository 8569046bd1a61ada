"""Training, one trial or hundreds, by one loop."""
