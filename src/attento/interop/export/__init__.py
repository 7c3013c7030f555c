"""One format a file: how a run is written in it."""
