"""Tests of latency.estimate."""
