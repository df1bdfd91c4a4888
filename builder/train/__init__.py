"""Continual pre-training of a dual encoder from the stream of a root: `danqing train`."""
