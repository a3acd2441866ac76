"""Pedestrians that the project draws itself, for demonstrations and tests without a data set.

They look like people a little and are none: figures from work on them say nothing about real images.
"""

from drfm.data.drawn.folder import draw_dataset
from drfm.data.drawn.shot import draw_person_image

__all__ = ["draw_dataset", "draw_person_image"]
