"""Tests of search.layers."""
