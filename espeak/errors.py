"""What can go wrong when espeak-ng renders speech: the hierarchy, and nothing else."""


class SpeechError(Exception):
    """Any failure to render speech; the root of this package's errors."""


class LibraryUnavailableError(SpeechError):
    """The espeak-ng library or its data could not be loaded; no rendering will work in this process."""


class InvalidRequestError(SpeechError):
    """The text, voice, rate, pitch or sample rate is not one that can be rendered; asking again is no use."""


class UnknownVoiceError(InvalidRequestError):
    """espeak-ng has no voice of that name."""


class SynthesisError(SpeechError):
    """espeak-ng reported an error while rendering."""
