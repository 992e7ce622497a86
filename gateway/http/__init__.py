"""The HTTP port: who may use it, what it withstands, and what its programs are told."""
