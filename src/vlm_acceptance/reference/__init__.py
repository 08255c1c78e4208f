"""The checkpoint's own log probabilities, computed on a CPU; its modules need torch, which only they import."""
