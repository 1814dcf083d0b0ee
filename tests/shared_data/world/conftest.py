"""The noise banks of the tests of scenes, for what is made of them."""

from tests.core.scenes.conftest import noise_bank, noise_bank_of_splits, noise_bank_without_voices

__all__ = ["noise_bank", "noise_bank_of_splits", "noise_bank_without_voices"]
