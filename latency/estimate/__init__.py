"""Predicted latency without a device, from a latency table. Needs numpy only."""
