"""Stage `curate`: a rebuilt root in, curated/ out: what each pair fails, or nothing.

    danqing curate ./danqing

The second half of the paper's pipeline: visual diversification, cross-modal alignment, redundancy.
"""
