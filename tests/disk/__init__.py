"""Tests of builder/disk."""
