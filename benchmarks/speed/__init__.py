"""What shaped noise costs: ratios of times measured in turn in one run."""
