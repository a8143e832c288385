"""The machines that the tests of manifold.core run against, all on one machine."""
