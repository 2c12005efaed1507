"""Against decoders of others; `make integration` installs them and runs this. Not part of `make test`."""
