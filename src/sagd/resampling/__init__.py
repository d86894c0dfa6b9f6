"""A band of given images drawn anew, given all else."""
