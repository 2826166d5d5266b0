"""Machine unlearning for vision-language, language and vision models."""

__version__ = "0.1.0"
