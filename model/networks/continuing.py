"""A network that was trained here is trained further, on other images or for other labels."""

import pathlib

import keras

from model.networks.weights import WeightsError


def continue_from(path: pathlib.Path, network: keras.Model) -> None:
  """Copies the weights of a saved network, layer by layer; the head only where it is for as many classes.

  Args:
    path: the `.keras` file of a bundle.
    network: of the same architecture, as `build_network` makes it.

  Raises:
    WeightsError: if the file cannot be read, or its layers are others.
  """
  saved = {layer.name: layer.get_weights() for layer in _load(path).layers}
  for layer in network.layers:
    weights = saved.get(layer.name, [])
    if [value.shape for value in weights] == [variable.shape for variable in layer.weights]:
      layer.set_weights(weights)
    elif not layer.name.startswith('head'):
      raise WeightsError(
        f'initial weights {path.name!r} are of another network: they do not fit its layer {layer.name!r}; '
        'take the architecture, channels and batch_norm that they were trained with'
      )


def _load(path: pathlib.Path) -> keras.Model:
  try:
    return keras.saving.load_model(path, compile=False)
  except (OSError, ValueError, TypeError, KeyError) as error:
    raise WeightsError(
      f'initial weights {path.name!r} cannot be read as a Keras network ({type(error).__name__}); '
      'give model.keras of a bundle'
    ) from error
