"""What a run shows and leaves behind: progress, metrics, checkpoints, weights, the model card."""
