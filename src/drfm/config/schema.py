"""Every option of a run, its default and its range.

The defaults are the `paper` preset, save for its super-resolution, whose weights come
from a hub: literal where the paper speaks, the code of its authors where it is silent.
Codes such as "A6" or "E1" name the entries of the list of ambiguities in ``docs/method.md``.
"""

from dataclasses import dataclass, field
from typing import Literal

from drfm.errors import DrfmError

Size = tuple[int, int]


def _require(condition: bool, option: str, value: object, mend: str) -> None:
    if not condition:
        raise DrfmError(f"{option} = {value}: {mend}")


@dataclass(frozen=True)
class ImagesConfig:
    """The two images of a pair: sizes, down-sampled twins, super-resolved twins."""

    hr_size: Size = (256, 128)
    """Height and width in pixels that HR-space images are resized to."""
    lr_size: Size = (256, 128)
    """Height and width in pixels that LR-space images are resized to (A7)."""
    kernel: Literal["bicubic", "bilinear", "lanczos", "box"] = "bicubic"
    """Resampling kernel of the down-sampled twins and of every resize (A5)."""
    twin_rate: int = 4
    """An HR capture's LR twin is 1/twin_rate of its native size."""
    twin_rates: Literal["fixed", "random", "several"] = "fixed"
    """`random` draws 2, 3 or 4 per image from a hash of seed and name; `several` gives an HR capture a twin
    at each of these rates and at `twin_rate`, one of which is drawn whenever it is trained on (A6)."""
    twin_degradation: Literal["benchmark", "realistic"] = "benchmark"
    """How an HR capture's LR twin is made small: resized, or blurred, resized, with noise and JPEG."""
    sr: Literal["bicubic", "swin2sr"] = "bicubic"
    """Super-resolution back end of LR captures; `bicubic` is an interpolation and says so in every result."""
    sr_model: str = "caidas/swin2SR-classical-sr-x4-64"
    """Hub name, or local folder such as `drfm sr train` makes, of the Swin2SR checkpoint (A3)."""
    sr_rate: int = 4
    """Magnification of the super-resolution back end."""
    sr_rates: Literal["fixed", "native"] = "fixed"
    """`fixed` magnifies every LR capture by `sr_rate` (A4); `native` by the rate it was made with or, where
    that is not known, by the height of HR-space images over its own, rounded; by `sr_rate` at most."""
    sr_versions: Literal[1, 2, 4, 8] = 1
    """Mirrored and turned copies of an image whose super-resolved versions are averaged (networks alone)."""

    def __post_init__(self) -> None:
        for name in ("hr_size", "lr_size"):
            size = getattr(self, name)
            _require(len(size) == 2 and all(8 <= s <= 1024 for s in size), f"images.{name}", size,
                     "give height and width between 8 and 1024 pixels")  # fmt: skip
        _require(1 <= self.twin_rate <= 16, "images.twin_rate", self.twin_rate, "give 1 to 16")
        _require(1 <= self.sr_rate <= 8, "images.sr_rate", self.sr_rate, "give 1 to 8")


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training images (A8, A9)."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    pad: int = 10
    """Zero border in pixels before the random crop, at an input of 256 rows; scaled with the input height."""
    erase: float = 0.0
    """Probability of random erasing; 0.5 in the code of the authors and in all baselines (A8)."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a radius of 0.1 to 2 pixels; 0.5 in ICE."""
    shared: bool = False
    """The two images of a pair share one draw of flip, crop and erasing (A9)."""

    def __post_init__(self) -> None:
        for name in ("flip", "erase", "blur"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"augment.{name}", value, "give a probability between 0 and 1")
        _require(0 <= self.pad <= 128, "augment.pad", self.pad, "give 0 to 128 pixels")


@dataclass(frozen=True)
class ModelConfig:
    """Encoders, predictor and fusion (B1 to B11)."""

    backbone: str = "resnet50"
    """resnet18, resnet34, resnet50, resnet101, mobilenetv2, efficientnet_lite0, efficientnet_lite1,
    efficientnet_lite2, or `transformers:NAME` for an image backbone of that library."""
    weights: str = "imagenet"
    """`imagenet` (packaged where a package exists, else the hub), a path to a .safetensors or .pth file,
    or `random`, which is never chosen by itself."""
    last_stride: Literal[1, 2] = 1
    """Stride of the last stage that halves the resolution (B2)."""
    pooling: Literal["average", "gem", "gem_fixed"] = "average"
    """Global pooling; `gem` learns its exponent from 3, `gem_fixed` keeps 3 (B2)."""
    encoders: Literal["dual", "native", "hr"] = "dual"
    """`dual`: E_h and E_l on the two images of a pair; `native`: one encoder on each image as
    it was captured; `hr`: one encoder on the HR-space images, so that LR captures are super-resolved."""
    parts: int = 0
    """Horizontal stripes of the last map that get a feature of their own, with one encoder alone."""
    sharing: Literal["separate", "shared", "stem"] = "separate"
    """Weights of E_h and E_l: two encoders, one, or two that share the layers before the first stage (B1)."""
    normalise: bool = True
    """Features are L2-normalised in training too (B3)."""
    predictor: Literal["linear", "linear_bn", "mlp"] = "linear"
    """Pred of Eq. 18: layer on the feature; layer and BatchNorm on the pooled vector; SimSiam's MLP (B4)."""
    fusion: Literal["crff", "fc", "none"] = "crff"
    """CRFF (Eq. 10-13), a single layer on the concatenation (ablation A5), or no fusion space."""
    crff_activation: Literal["none", "relu"] = "none"
    """Activation behind F1 and F2 (B5)."""
    crff_gate: Literal["softmax", "softmax_scaled", "sigmoid"] = "softmax"
    """Gate of Eq. 10: softmax over channels, the same times D, or a sigmoid (B6)."""
    crff_temperature: float = 1.0
    """Divides the product inside the gate (B6)."""
    crff_norm: Literal["l2", "bn_l2"] = "l2"
    """What follows F3: L2 normalisation, or BatchNorm with frozen bias before it (B7)."""
    fc_init: Literal["kaiming", "torch"] = "kaiming"
    """Kaiming normal (fan out) with zero bias, or PyTorch's default (B8)."""
    fusion_gradient: Literal["flow", "detach"] = "flow"
    """Whether the fusion losses reach the encoders (B10)."""

    def __post_init__(self) -> None:
        _require(self.crff_temperature > 0, "model.crff_temperature", self.crff_temperature,
                 "give a number above 0")  # fmt: skip
        _require(0 <= self.parts <= 8, "model.parts", self.parts, "give 0 to 8 stripes")


@dataclass(frozen=True)
class LabelsConfig:
    """Clustering and cross-resolution pseudo-label generation (C1 to C10)."""

    source: Literal["features", "memory", "fused", "ground_truth"] = "features"
    """What is clustered: features of E_h extracted anew, the HR memory, or fused features (C1).
    `ground_truth` trains on true identities instead, as a supervised ceiling, and every result says so."""
    distance: Literal["jaccard", "cosine"] = "jaccard"
    """Distance between HR images (C2)."""
    k1: int = 30
    """Neighbours in the k-reciprocal sets, the image itself counted; 10 or so where a person has 5 images."""
    k2: int = 6
    """Neighbours averaged in the query expansion; 1 switches it off."""
    k1_reading: Literal["inclusive", "exclusive"] = "inclusive"
    """`inclusive`: k1 counts the image itself (SpCL code family); `exclusive`: k1 others (Zhong et al.)."""
    cluster: Literal["dbscan", "hdbscan"] = "dbscan"
    """Clustering algorithm; the paper names DBSCAN."""
    eps: float = 0.6
    """Neighbourhood radius of DBSCAN."""
    min_samples: int = 4
    """Images in a neighbourhood, the image itself included, that make a core point."""
    outliers: Literal["exclude", "singletons"] = "exclude"
    """HR images without a cluster leave the epoch, or become classes of one (C3)."""
    centroids: Literal["features", "memory"] = "features"
    """Class centroids of Eq. 5 and 7 from the epoch's features or from the memories (C4)."""
    normalise_centroids: bool = False
    """L2-normalise the class centroids of Eq. 5 and 7 (C4)."""
    tau_h: float = 0.05
    """Temperature of Eq. 6."""
    tau_l: float = 0.04
    """Temperature of Eq. 4."""
    t: float = 0.7
    """Proportion of Eq. 9; 0.7 for MLR-CUHK03, 0.8 for MLR-Market-1501."""
    every: int = 1
    """Epochs between two relabellings (C10)."""

    def __post_init__(self) -> None:
        _require(1 <= self.k1 <= 1000, "labels.k1", self.k1, "give 1 to 1000")
        _require(1 <= self.k2 <= self.k1, "labels.k2", self.k2, f"give 1 to k1 ({self.k1})")
        _require(0 < self.eps < 2, "labels.eps", self.eps, "give a radius between 0 and 2")
        _require(self.min_samples >= 1, "labels.min_samples", self.min_samples, "give 1 or more")
        _require(self.tau_h > 0, "labels.tau_h", self.tau_h, "give a temperature above 0")
        _require(self.tau_l > 0, "labels.tau_l", self.tau_l, "give a temperature above 0")
        _require(0 <= self.t <= 1, "labels.t", self.t, "give a proportion between 0 and 1")
        _require(self.every >= 1, "labels.every", self.every, "give 1 or more epochs")


@dataclass(frozen=True)
class MemoryConfig:
    """Feature memories (D1 to D7)."""

    life: Literal["epoch", "run"] = "epoch"
    """Rebuilt from each epoch's features, or filled once and kept (D1)."""
    alpha: float = 0.2
    """Weight of the OLD value in Eq. 1-3; 0.8 is the other reading (D2)."""
    normalise: bool = True
    """L2-normalise a slot after its update (D3)."""
    refresh: Literal["step", "epoch"] = "step"
    """When resolution centroids follow the memory (D7)."""
    normalise_centroids: bool = False
    """L2-normalise resolution centroids (D7)."""
    fusion_start: Literal["fused", "hr"] = "fused"
    """The fusion memory begins with fused features, or with those of the HR space (B11)."""
    slot_alpha: float = 0.5
    """Weight of the OLD value in the cluster slots of L_sc, after Lin et al., AAAI 2019 (E12)."""

    def __post_init__(self) -> None:
        for name in ("alpha", "slot_alpha"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"memory.{name}", value, "give 0 or more and less than 1")


@dataclass(frozen=True)
class LossConfig:
    """Losses of Eq. 16 to 20 (E1 to E13)."""

    tau_c: float = 0.04
    """Temperature of L_cc and of the student side of L_ps."""
    negatives: int = 20
    """|Q|: nearest resolution centroids of other clusters."""
    denominator: Literal["positives_negatives", "one_positive", "positives"] = "positives_negatives"
    """Denominator of Eq. 16: P and Q; the one positive and Q; P alone as printed, which cannot work (E1)."""
    negatives_from: Literal["all", "each_origin"] = "all"
    """|Q| nearest over both origins together, or |Q| of each (E3)."""
    identification: Literal["cc", "sc"] = "cc"
    """Cross-resolution contrastive loss, or the softmax loss over clusters of the ablations."""
    tau_sc: float = 0.1
    """Temperature of L_sc, the softmax loss over clusters, after Lin et al., AAAI 2019 (E12)."""
    fusion_start: int = 0
    """First epoch, counted from 0, of the loss in the fusion space (B11)."""
    ic_weight: float = 1.0
    """Weight of L_ic (E13); 0 switches it off."""
    ic_pairs: Literal["labelled_lr", "all_lr", "both_origins"] = "labelled_lr"
    """Pairs of L_ic: labelled LR captures; ambiguous ones too; HR captures (x^h, x^sl) too (E7)."""
    ps_weight: float = 1.5
    """Lambda of Eq. 20; 0 switches L_ps off."""
    ps_start: int = 10
    """First epoch, counted from 0, of L_ps (E9)."""
    tau_s: float = 0.02
    """Temperature of the sharpened target of L_ps; must stay below tau_c."""
    ps_batch: int = 16
    """Ambiguous pairs in a step."""
    ps_sampling: Literal["uniform", "balanced"] = "uniform"
    """Ambiguous pairs drawn uniformly, or evenly over their most likely classes (E8)."""

    def __post_init__(self) -> None:
        for name in ("tau_c", "tau_sc"):
            _require(
                getattr(self, name) > 0, f"loss.{name}", getattr(self, name), "give a temperature above 0"
            )
        _require(0 < self.tau_s < self.tau_c, "loss.tau_s", self.tau_s,
                 f"give a temperature above 0 and below tau_c ({self.tau_c})")  # fmt: skip
        for name in ("negatives", "fusion_start", "ps_start"):
            _require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "give 0 or more")
        for name in ("ic_weight", "ps_weight"):
            _require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "give 0 or more")
        _require(self.ps_batch >= 1, "loss.ps_batch", self.ps_batch, "give 1 or more")


@dataclass(frozen=True)
class SamplerConfig:
    """Batches of labelled pairs (E5, E6)."""

    batch: int = 64
    """Pairs in a step."""
    instances: int = 4
    """Pairs of one class in a step."""
    kind: Literal["rmgs", "pk", "each_camera", "random"] = "rmgs"
    """Random multiple gallery sampler with the origin as camera; plain classes x instances; the same
    with an image of every camera first, as in ICE; plain random."""
    cameras: Literal["origin", "camera", "none"] = "origin"
    """What `rmgs` and `each_camera` take for the camera: the origin (HR or LR), the true one, or nothing."""
    origins: Literal["mixed", "balanced", "double"] = "mixed"
    """One mixed batch; half of each origin; a whole batch of each origin (E5)."""

    def __post_init__(self) -> None:
        _require(self.batch >= 2, "sampler.batch", self.batch, "give 2 or more")
        _require(1 <= self.instances <= self.batch, "sampler.instances", self.instances,
                 f"give 1 to the batch size ({self.batch})")  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Schedule, optimiser and device (F1 to F4)."""

    epochs: int = 40
    """Epochs in total."""
    iterations: int = 400
    """Steps in an epoch (F2)."""
    lr: float = 3.5e-4
    """Learning rate of Adam."""
    weight_decay: float = 5e-4
    """L2 penalty of Adam."""
    schedule: Literal["step", "constant", "warmup", "cosine"] = "step"
    """Rate over epochs: times 0.1 every `lr_step`; constant; a rise over `warmup` epochs; cosine (F1)."""
    lr_step: int = 20
    """Epochs between two decays of the `step` schedule."""
    warmup: int = 10
    """Epochs of the `warmup` schedule's linear rise from a tenth of the rate."""
    bn_groups: int = 2
    """BatchNorm sees a batch in this many contiguous parts, as that many devices would (F3)."""
    bn_ambiguous: Literal["separate", "joint"] = "separate"
    """Ambiguous pairs go through the encoders by themselves, or with the labelled ones (B12)."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the encoders; losses and memories are always float32. `auto` takes the faster one by a
    short measurement, says which, and keeps it for the run."""
    deterministic: bool = False
    """On a GPU: the same bits from every run, and slower; a CPU gives them anyway."""
    tf32: bool = False
    """On a GPU: float32 products and convolutions with mantissas of 10 bits, which are faster."""
    graphs: bool = True
    """On a GPU: record the passes of a backbone once and replay them (CUDA graphs), since a GPU is faster
    than Python can ask it. Where that cannot be done, a line says so, and training goes on without."""
    checkpointing: bool = False
    """Compute activations twice to keep fewer: the same gradients in less memory and more time."""
    extract_batch: int = 128
    """Pairs in a forward pass without gradient."""
    evaluate_every: int = 0
    """Epochs between two evaluations on the test persons, for reporting only; 0 means at the end."""
    workers: int = 0
    """Processes that prepare images; 0 means one per core."""
    tensorboard: bool = False
    """Write the journal's numbers as TensorBoard curves too (extra `track`)."""

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations", "lr_step", "bn_groups", "extract_batch", "warmup"):
            _require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "give 1 or more")
        _require(self.lr > 0, "train.lr", self.lr, "give a rate above 0")
        for name in ("weight_decay", "evaluate_every", "workers"):
            _require(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "give 0 or more")


@dataclass(frozen=True)
class EvaluationConfig:
    """Protocol of a test (G1 to G9)."""

    features: Literal["fused", "hr", "lr", "concat", "mean"] = "fused"
    """Test feature of the headline row; `mean` averages the cosine similarities of the three spaces (G1).
    A model with one encoder has one feature, and that is its headline."""
    draws: int = 10
    """Random galleries of one image per person (G3)."""
    draw: Literal["shared", "per_query"] = "shared"
    """One gallery per repetition for all queries, or one for each query (G3)."""
    seed: int = 0
    """Seed of the random galleries."""
    flip: bool = False
    """Average each feature with that of the mirrored image (G7)."""
    rerank: bool = False
    """k-reciprocal re-ranking of the multi-shot ranking (G7)."""
    quality_pairs: Literal["all", "labelled"] = "all"
    """Pairwise F-score of pseudo-labels over all images, outliers alone, or over labelled images (G9)."""

    def __post_init__(self) -> None:
        _require(self.draws >= 1, "evaluation.draws", self.draws, "give 1 or more")


@dataclass(frozen=True)
class Config:
    """A whole run."""

    method: str = "drfm"
    """Name of the method."""
    seed: int = 1
    """Seed of initialisation, sampling and augmentation."""
    options: str = "default"
    """Options of the method itself, as NAME=VALUE,NAME=VALUE; `default` keeps all of them."""
    images: ImagesConfig = field(default_factory=ImagesConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**31, "seed", self.seed, "give 0 to 2147483647")
