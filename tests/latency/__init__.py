"""Tests of the latency package."""
