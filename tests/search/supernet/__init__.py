"""Tests of search.supernet."""
