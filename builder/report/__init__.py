"""Stage `report`: a re-validated or curated root in, or a run of train, one self-contained page out.

danqing report ./danqing report.html
danqing report ./runs/b16 run.html
"""
