"""The search itself: stages, recipes, checkpoints, progress, and fencing of the process."""
