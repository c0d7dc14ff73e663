"""Tests of the datasets part."""
