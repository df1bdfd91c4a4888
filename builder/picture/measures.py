"""What is measured of a picture, and how its luminance came about: the words for it, without the measuring.

Apart from `measure`, so that a process that plans and reads loads no decoder.
"""

from __future__ import annotations

from typing import NamedTuple

# What metadata call the two luminances.
RGB_TO_GRAY = "cv2.COLOR_RGB2GRAY"
LUMA = "simplejpeg GRAY, else cv2.COLOR_RGB2GRAY"
RICH = {"spread": 20.0, "entropy": 5.0}  # from which on a perceptual hash says something of a picture


class Measures(NamedTuple):
    """What is measured of a luminance of 256 levels.

    spread: its standard deviation; sharpness: the variance of its Laplacian, by the kernel 0 1 0, 1 -4 1, 0 1 0 with
    the picture reflected at its edges (OpenCV's defaults); entropy: of its histogram, in bits, 0 to 8.
    """

    spread: float
    sharpness: float
    entropy: float
