"""Stage `report`: a re-validated or curated root in, one self-contained page out.

danqing report ./danqing report.html
"""
