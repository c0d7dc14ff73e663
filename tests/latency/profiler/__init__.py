"""Tests of latency.profiler."""
