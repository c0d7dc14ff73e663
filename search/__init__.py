"""Differentiable search for sparse networks under a latency budget. No web, no database."""
