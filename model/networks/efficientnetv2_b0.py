"""EfficientNetV2-B0 (Tan and Le, ICML 2021): fused blocks at the start, squeeze-and-excite later.

5,920,593 parameters with two classes.
"""

from functools import partial
from typing import Final

import keras

from model.networks.inputs import TORCH
from model.networks.transfer import Family, KerasFile

EFFICIENTNETV2_B0: Final = Family(
  'efficientnetv2_b0',
  partial(keras.applications.EfficientNetV2B0, include_preprocessing=False),
  TORCH,
  smallest_side=32,
  weights=KerasFile('efficientnet_v2', 'efficientnetv2-b0_notop.h5', '893217f2bb855e2983157299931e43ff'),
  branches=True,
)
