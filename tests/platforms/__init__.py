"""Tests of what builds and runs the operator library elsewhere."""
