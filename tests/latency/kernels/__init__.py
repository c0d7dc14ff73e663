"""Tests of the sparse operator library."""
