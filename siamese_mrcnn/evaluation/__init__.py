"""One-shot evaluation as in the paper: queries, detections, metrics, reports."""

from siamese_mrcnn.evaluation.one_shot import EvaluationError, evaluate

__all__ = ["EvaluationError", "evaluate"]
