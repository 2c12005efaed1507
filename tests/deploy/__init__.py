"""What is in deploy/, against the schemas and the flags that it is written for; real tools are in tests/integration."""
