"""Stage `release`: a rebuilt root in, a release out: a folder or a data set of the Hub, with a card that was counted.

danqing release ./danqing ./release --what manifest
danqing release ./danqing hf://datasets/ORG/NAME --what images
"""
