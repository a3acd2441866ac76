"""The protocol of a test: what has to be known to compare two numbers."""

from dataclasses import asdict, dataclass

from drfm.config.schema import EvaluationConfig

FEATURES = {
    "image": "features of the one encoder",
    "fused": "fused features",
    "hr": "HR-space features",
    "lr": "LR-space features",
    "concat": "HR- and LR-space features side by side",
    "mean": "mean cosine similarity of the three spaces",
}
"""Test features by name, in words (G1)."""


@dataclass(frozen=True)
class Protocol:
    """Everything about a test that changes its numbers, apart from the benchmark and the model.

    Attributes:
        draws: random galleries of one image a person.
        draw: ``"shared"`` or ``"per_query"``.
        seed: of the random galleries.
        features: test feature of the headline row, a key of :data:`FEATURES`.
        flip: features are averaged with those of the mirrored images.
        rerank: the multi-shot ranking was re-ranked too.
        same_camera: gallery images of the query's person from the query's camera are left out.
        ties: how equal similarities are ordered.
    """

    draws: int
    draw: str
    seed: int
    features: str
    flip: bool
    rerank: bool
    same_camera: bool = True
    ties: str = "against the method"

    @classmethod
    def of(cls, config: EvaluationConfig, features: str) -> "Protocol":
        """The protocol that ``config`` asks for, with ``features`` in the headline row."""
        return cls(config.draws, config.draw, config.seed, features, config.flip, config.rerank)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        galleries = "the same for all queries" if self.draw == "shared" else "redrawn for each query"
        parts = [
            f"single-shot: one random image a person, {self.draws} galleries {galleries} (seed {self.seed}), "
            "mean ± standard deviation",
            "exact: expectation over all such galleries",
            "multi-shot: all gallery images",
            "same person and camera as the query left out" if self.same_camera else "no camera rule",
            f"ties count {self.ties}",
            f"headline: {FEATURES[self.features]}, {'with' if self.flip else 'no'} mirrored images",
        ]
        if self.rerank:
            parts.append("re-ranked rows: k-reciprocal, k1 = 20, k2 = 6, lambda = 0.3")
        return "; ".join(parts)
