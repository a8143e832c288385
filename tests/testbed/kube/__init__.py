"""A Kubernetes API on loopback, and the backends that run its pods."""
