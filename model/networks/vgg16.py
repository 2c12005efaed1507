"""VGG16 (Simonyan and Zisserman, ICLR 2015): thirteen convolutions of 3×3, five times halved, and no batch norm.

14,715,201 parameters with two classes; by far the most work for an image of all
networks here. Kermany et al. (Cell 2018) and much that followed on chest
radiographs used networks of its time.
"""

from typing import Final

import keras

from model.networks.inputs import CAFFE
from model.networks.transfer import Family, KerasFile

VGG16: Final = Family(
  'vgg16',
  keras.applications.VGG16,
  CAFFE,
  smallest_side=32,
  weights=KerasFile('vgg16', 'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5', '6d6bbae143d832006294945121d1f1fc'),
)
