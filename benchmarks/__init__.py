"""Speed and memory of the main jobs, as multiples of one matrix product in the same run."""
