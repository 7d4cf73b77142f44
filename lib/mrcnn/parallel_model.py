"""Where Matterport's `ParallelModel` was."""


class ParallelModel:
    """Can be imported; to make one ends in a sentence that says what does its work."""

    def __init__(self, *arguments, **keywords):
        raise NotImplementedError(
            "ParallelModel is not needed any more: set GPU_COUNT in the configuration, and train() "
            "uses so many devices."
        )
