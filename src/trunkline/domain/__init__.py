"""What messages, numbers and their rules are: values and pure functions."""
