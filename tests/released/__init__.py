"""Tests of builder/released."""
