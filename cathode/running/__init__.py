"""A hunt as a run on a machine: what it would do and cost, what it took, what failed, what a cluster says."""
