"""Tests of builder/stage."""
