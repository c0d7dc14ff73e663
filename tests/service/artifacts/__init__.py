"""Tests of the artifacts part."""
