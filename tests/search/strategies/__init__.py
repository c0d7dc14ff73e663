"""Tests of search.strategies."""
