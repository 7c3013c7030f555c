"""One training loop for every architecture: loss, optimizer, schedule, checkpoints, validation on the user's road."""
