"""The lowest layer: devices, caches, files, programs, clocks, checkpoints, hosts; it knows nothing of training."""
