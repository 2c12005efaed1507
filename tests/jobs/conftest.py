from tests.end_to_end.conftest import chain

__all__ = ['chain']  # the same small export for jobs of their own as for this process
