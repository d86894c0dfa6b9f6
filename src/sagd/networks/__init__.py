"""Denoising networks, thin on well-kept libraries, and checks of their weights."""
