"""Stage `report`: a re-validated root in, one self-contained page out.

danqing report ./danqing report.html
"""
