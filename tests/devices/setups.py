"""The setups that must agree: how many devices train, in how many processes."""

from typing import Final

SETUPS: Final = ('one device', 'two devices', 'chief of two', 'other of two')
