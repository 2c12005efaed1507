"""Where initial weights come from, and under which terms: for the model card. No TensorFlow here."""

from collections.abc import Mapping
from typing import Final

IMAGENET: Final = (
  'ImageNet (Deng et al., CVPR 2009) may be used for non-commercial research and education only '
  '(image-net.org/download); whether that binds weights trained on it is not settled: ask before any other use.'
)
# Of the files, as their packages and the documentation of Keras state them.
LICENCES: Final[Mapping[str, str]] = {
  'densenet121': 'BSD 3-Clause',
  'efficientnet_lite0': 'Apache-2.0',
  'efficientnet_lite1': 'Apache-2.0',
  'efficientnet_lite2': 'Apache-2.0',
  'efficientnetv2_b0': 'Apache-2.0',
  'inception_v3': 'Apache-2.0',
  'mobilenet_v3_large': 'Apache-2.0',
  'resnet50': 'MIT',
  'vgg16': 'CC BY 4.0, by the Visual Geometry Group of Oxford',
}
_PINNED: Final = frozenset({'efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2'})


def provenance(architecture: str, initial_weights: str) -> tuple[str, ...]:
  """What a reader must know of the initial weights; no sentences for random ones.

  Args:
    architecture: of `model.networks.registry`.
    initial_weights: `none`, `imagenet`, or any other text for a file, which is not repeated.
  """
  if initial_weights == 'none':
    return ()
  if initial_weights == 'imagenet':
    licence = LICENCES[architecture]
    return (f'Training began from weights that were trained on ImageNet, under the licence {licence}.', IMAGENET)
  if architecture in _PINNED:  # no other files of weights are taken
    return (
      f'Training began from a file: of weights that were trained on ImageNet, under the licence '
      f'{LICENCES[architecture]}, or of another model of radbeam, whose card holds here too.',
      IMAGENET,
    )
  return ('Training began from weights of a file: what they were trained on, and their terms, are not known here.',)
