"""Latency tables: planned, built from raw measurements, read, asked for predictions."""
