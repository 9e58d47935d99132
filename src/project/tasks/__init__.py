"""Tasks: what is learned. Yours go here, or anywhere that can be imported."""

from project.tasks.circles import CirclesTask
from project.tasks.digits import DigitsTask
from project.tasks.gan import GAN
from project.tasks.lit_digits import LitDigits
from project.tasks.vae import VAE

__all__ = ["GAN", "VAE", "CirclesTask", "DigitsTask", "LitDigits"]
