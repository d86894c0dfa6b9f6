"""Denoising networks, a kind a file, thin on well-kept libraries, and checks of their weights."""
