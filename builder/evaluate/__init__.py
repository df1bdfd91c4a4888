"""Evaluation of checkpoints by the paper's benchmarks in Chinese, with baselines in the same run."""
