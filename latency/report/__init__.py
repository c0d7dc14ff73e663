"""What a latency table is worth, and what changed between two of them."""
