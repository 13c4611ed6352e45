"""Errors of this room.

ModelError             a model that can't be used; the message names the model, what is wrong and what would be right
├─ ModelFileError      its file is gone, has changed since the catalog was loaded, or can't be run here
├─ MetadataError       its file doesn't say what it needs to be fed
├─ FeatureError        what it needs to be fed is not what the catalog declares
└─ ProbabilityError    it failed, or gave something that is no probability: at load it is refused, later it degrades
TrainingError          a model that can't be trained, or shouldn't be: rows, label, features, or what came of it
"""


class ModelError(Exception):
    """A model that can't be used."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"model `{model}`: {message}")
        self.model = model


class ModelFileError(ModelError):
    """Its file is gone, has changed since the catalog was loaded, or can't be run here."""


class MetadataError(ModelError):
    """Its file doesn't say what it needs to be fed."""


class FeatureError(ModelError):
    """What it needs to be fed is not what the catalog declares."""


class ProbabilityError(ModelError):
    """It failed, or gave something that is no probability."""


class TrainingError(ValueError):
    """A model that can't be trained, or shouldn't be."""
