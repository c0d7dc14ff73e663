"""Tests of jobs over HTTP and of their journal."""
