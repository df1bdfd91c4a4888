"""The tiny SigLIP that comes with danqing: how it was trained, and how it does on scenes it never saw."""
