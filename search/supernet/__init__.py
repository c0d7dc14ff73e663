"""The relaxed network that holds every candidate at once, and its architecture parameters."""
