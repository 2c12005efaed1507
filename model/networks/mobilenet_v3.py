"""MobileNetV3-Large (Howard et al., ICCV 2019): inverted residual blocks, found by search, with squeeze-and-excite.

2,997,313 parameters with two classes.
"""

from functools import partial
from typing import Final

import keras

from model.networks.inputs import MINUS_ONE_TO_ONE
from model.networks.transfer import Family, KerasFile

MOBILENET_V3_LARGE: Final = Family(
  'mobilenet_v3_large',
  partial(keras.applications.MobileNetV3Large, include_preprocessing=False),
  MINUS_ONE_TO_ONE,
  smallest_side=32,
  weights=KerasFile(
    'mobilenet_v3', 'weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5', '07fb09a5933dd0c8eaafa16978110389'
  ),
)
