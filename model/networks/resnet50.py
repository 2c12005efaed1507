"""ResNet50 (He et al., CVPR 2016): bottleneck blocks with shortcuts, the usual yardstick.

23,589,761 parameters with two classes. MedMNIST v2 (Yang et al., Scientific
Data 2023) reports AUC 0.962 and accuracy 0.884 for one on these radiographs.
"""

from typing import Final

import keras

from model.networks.inputs import CAFFE
from model.networks.transfer import Family, KerasFile

RESNET50: Final = Family(
  'resnet50',
  keras.applications.ResNet50,
  CAFFE,
  smallest_side=32,
  weights=KerasFile(
    'resnet', 'resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5', '4d473c1dd8becc155b73f8504c6f6626'
  ),
)
