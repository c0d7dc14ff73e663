"""The one seam over DBOS: enqueueing, the worker's lease, taking over from the dead, trainers."""
