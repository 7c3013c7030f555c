"""How good a trained system is on the test set, and how fast it works through it: a file for each kind of work."""
