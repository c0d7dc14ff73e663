"""Tests of latency.lowering."""
