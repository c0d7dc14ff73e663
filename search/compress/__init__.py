"""A network that exists, fitted to a budget: layers planned by the table, pruned, fine-tuned."""
