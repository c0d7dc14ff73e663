"""Data sets as tensors in memory, and seeded batches of them. No download at run time."""
