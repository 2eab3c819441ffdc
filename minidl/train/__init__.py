"""Training: the loop, its pictures and its checkpoints."""
