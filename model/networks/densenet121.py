"""DenseNet121 (Huang et al., CVPR 2017): every layer of a block sees the outputs of all before it.

7,038,529 parameters with two classes. CheXNet (Rajpurkar et al., arXiv
1711.05225) made it the usual choice for chest radiographs.
"""

from typing import Final

import keras

from model.networks.inputs import TORCH
from model.networks.transfer import Family, KerasFile

DENSENET121: Final = Family(
  'densenet121',
  keras.applications.DenseNet121,
  TORCH,
  smallest_side=32,
  weights=KerasFile(
    'densenet', 'densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5', '30ee3e1110167f948a6b9946edeeb738'
  ),
)
