"""The stages of danqing: each meets the others only on disk, each has one face, `Config` and `run`."""

__version__ = "0.2.0"
