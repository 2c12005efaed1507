"""Inception v3 (Szegedy et al., CVPR 2016): parallel convolutions of several sizes, factorised.

21,804,833 parameters with two classes. Kermany et al. (Cell 2018) trained the
head of one on these radiographs: AUC 0.968, accuracy 0.928.
"""

from typing import Final

import keras

from model.networks.inputs import MINUS_ONE_TO_ONE
from model.networks.transfer import Family, KerasFile

INCEPTION_V3: Final = Family(
  'inception_v3',
  keras.applications.InceptionV3,
  MINUS_ONE_TO_ONE,
  smallest_side=75,
  weights=KerasFile(
    'inception_v3', 'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5', 'bcbd6486424b2319ff4ef7d526e38f63'
  ),
)
