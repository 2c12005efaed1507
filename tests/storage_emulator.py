"""Google Cloud Storage on this machine: gcp-storage-emulator, with the preconditions that it lacks.

`python -m tests.storage_emulator` serves one empty bucket, says its port on stdout, and lives until stdin is closed.
It answers one request at a time, so that a precondition and what it guards are one step, as they are at Google.
"""

import functools
import http
import logging
import sys
import threading
from collections.abc import Callable
from http.server import HTTPServer
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.storage import Storage

BUCKET = 'site'
Handler = Callable[..., None]


def _object_name(request: Any, storage: Storage) -> str | None:
  if 'object_id' in request.params:
    return str(request.params['object_id'])
  if 'upload_id' in request.query:
    return str(storage.get_resumable_file_obj(request.query['upload_id'][0])['name'])
  if 'name' in request.query:
    return str(request.query['name'][0])
  data = request.data
  meta = data.get('meta', data) if isinstance(data, dict) else {}
  return meta.get('name')


def _generation(storage: Storage, bucket: str, name: str | None) -> str:
  try:
    return str(storage.get_file_obj(bucket, name)['generation'])
  except NotFound:
    return '0'  # what stands for no object


def _guarded(handler: Handler) -> Handler:
  """Answers 412 where `ifGenerationMatch` is given and another generation is there."""

  @functools.wraps(handler)
  def handle(request: Any, response: Any, storage: Storage, *args: Any, **kwargs: Any) -> None:
    wanted = request.query.get('ifGenerationMatch')
    if wanted and wanted[0] != _generation(storage, request.params['bucket_name'], _object_name(request, storage)):
      response.status = http.HTTPStatus.PRECONDITION_FAILED
      response.json({'error': {'code': 412, 'message': 'conditionNotMet'}})
      return
    handler(request, response, storage, *args, **kwargs)

  return handle


class _Server(HTTPServer):
  def handle_error(self, *_: Any) -> None:
    """A client that was killed says nothing more; that is what some tests are about."""


def main() -> None:
  """Serves until stdin ends."""
  logging.disable()
  guarded = (server.GET, server.POST, server.PUT, server.DELETE)
  server.HANDLERS = tuple(
    (pattern, {method: _guarded(handler) if method in guarded else handler for method, handler in handlers.items()})
    for pattern, handlers in server.HANDLERS
  )
  storage = Storage(use_memory_fs=True)
  buckets.create_bucket(BUCKET, storage)
  served = _Server(('localhost', 0), functools.partial(server.RequestHandler, storage))
  print(served.server_port, flush=True)
  threading.Thread(target=served.serve_forever, daemon=True).start()
  sys.stdin.read()


if __name__ == '__main__':
  main()
