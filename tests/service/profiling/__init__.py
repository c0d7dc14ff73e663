"""Tests of the profiling part."""
