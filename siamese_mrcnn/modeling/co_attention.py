"""Co-attention and co-excitation: query and reference look at each other before they are matched.

Hsieh et al., "One-Shot Object Detection with Co-Attention and Co-Excitation" (CoAE), NeurIPS 2019.
The averaged vectors of the paper's matching say little of the reference's shape. Here every place
of the query gathers from every place of the reference, and the other way round; then channels are
weighed by what the reference shows.

Several references count as one with as many more places. Laid over each other and averaged, things
that stand differently would blur; all that is computed of places here are means and maxima, so
more of them change no shape, and the mean vector is the same as without attention.
"""

import keras
from keras import layers, ops

from mrcnn.modeling.conv_norm import NormalizedConvolution
from mrcnn.ops.initializers import RandomKernel
from siamese_mrcnn.modeling.matching import LEVELS

CO_ATTENTION = "fpn_(attention|excitation)_.*"  # regular expression of its layers' names
ATTENDED = LEVELS[1:]  # P2 would cost more than all of these, and tells least of meaning
REDUCTION = 16  # of channels between the two layers of the excitation


@keras.saving.register_keras_serializable("siamese_mrcnn")
class LinearAttention(layers.Layer):
    """What places gather from others: mean of these' values, each times the product of both keys.

    It is the attention of non-local networks without a softmax (Wang et al., CVPR 2018, "dot
    product"): so keys and values of the others are multiplied first, whatever the number of places.

    Inputs: keys [A, places, channels]; keys and values of the others [B, others, channels]. A or B
    may be 1 and then serves the whole of the other. Output: [A or B, places, channels].
    """

    def call(self, inputs):
        keys, other_keys, values = inputs
        products = ops.matmul(ops.transpose(other_keys, (0, 2, 1)), values)
        return ops.matmul(keys, products / ops.cast(ops.shape(values)[1], products.dtype))

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]


class CoAttention:
    """Changes a query pyramid P and the vectors T of its reference by each other, on P3..P6.

    P' = P + BN(W phi(P) theta(R)^T g(R) / N_R), and R' from P alike, with a W of its own. Channels
    of both are weighed by w = 2 sigmoid(MLP(mean R') + MLP(max R')); T' = w mean R'. As gamma of BN
    and the last layer of the MLP begin at 0, nothing changes at first.

    Differences from CoAE: each level of the pyramid has weights of its own, as it has to be merged
    with; w begins at 1 (theirs without the 2 and with random weights); region proposals, too, see
    the weighed channels; statistics of BN are frozen where TRAIN_BN says so, and should be measured
    before (`mrcnn.training.random_start`, as `train` does), since products of three features are of
    any size; the margin loss between RoIs is not here.

    Args:
        channels: of the pyramid.
        train_norm: whether batch statistics are updated while training.
    """

    def __init__(self, channels, train_norm=False):
        self.channels = channels
        self.levels = [LevelAttention(f"P{level}", channels, train_norm) for level in ATTENDED]

    def keep(self, pyramid, shots):
        """What it needs of references: their maps P3..P6, each [batch, K * places, channels].

        Args:
            pyramid: of the references, each level [batch * K, rows, columns, channels].
            shots: K.
        """
        return [_places(level, shots) for level in pyramid[1:]]

    def inputs(self):
        """Symbolic inputs for what `keep` gives."""
        return [keras.Input((None, self.channels), name=f"reference_map_P{n}") for n in ATTENDED]

    def __call__(self, pyramid, vectors, maps):
        """The changed pyramid [P2, ..., P6] and vectors; those of P2 stay as they are.

        Args:
            pyramid: of the query, each level [batch, rows, columns, channels].
            vectors: of the references, each level [batch, channels].
            maps: as of `keep`. Its batch or that of the pyramid may be 1, for all of the other.
        """
        levels, means = [pyramid[0]], [vectors[0]]
        for attention, features, reference in zip(self.levels, pyramid[1:], maps, strict=True):
            changed, mean = attention(features, reference)
            levels.append(changed)
            means.append(mean)
        return levels, means


class LevelAttention:
    """The layers of one level of `CoAttention`.

    Args:
        level: "P3", for the layers' names.
        channels, train_norm: as of `CoAttention`.
    """

    def __init__(self, level, channels, train_norm):
        def dense(name, units, **keywords):
            keywords = {"kernel_initializer": RandomKernel(), **keywords}
            return layers.Dense(units, name=f"fpn_{name}_{level}", **keywords)

        self.phi, self.theta, self.g = (
            dense(f"attention_{name}", channels // 2) for name in ("phi", "theta", "g")
        )
        self.attend = LinearAttention(name=f"attention_{level}")
        self.update_query, self.update_reference = (
            _update(f"fpn_attention_{side}", level, channels, train_norm)
            for side in ("query", "reference")
        )
        inner = max(1, channels // REDUCTION)
        self.squeeze = dense("excitation_squeeze", inner, activation="relu")
        self.excite = dense("excitation_weights", channels, kernel_initializer="zeros")

    def __call__(self, features, reference):
        """P' w [batch, rows, columns, channels] and w mean R' [batch, channels].

        Args:
            features: P [batch, rows, columns, channels].
            reference: R [batch, places, channels].
        """
        query = _places(features, 1)
        phi, theta = self.phi(query), self.theta(reference)
        for_query = self.attend([phi, theta, self.g(reference)])
        for_reference = self.attend([theta, phi, self.g(query)])
        query = ops.add(query, self.update_query(for_query))
        reference = ops.add(reference, self.update_reference(for_reference))
        mean, maximum = ops.mean(reference, axis=1), ops.max(reference, axis=1)
        logits = ops.add(*(self.excite(self.squeeze(each)) for each in (mean, maximum)))
        weights = 2 * ops.sigmoid(logits)
        weighed = ops.reshape(query * weights[:, None], (-1, *features.shape[1:]))
        return weighed, mean * weights


def _places(features, shots):
    """Maps [batch * K, rows, columns, channels] as [batch, K * rows * columns, channels]."""
    rows, columns, channels = features.shape[1:]
    return ops.reshape(features, (-1, shots * rows * columns, channels))


def _update(name, level, channels, train_norm):
    """W and BN of one side, from places to places; they begin with adding nothing."""
    convolution = NormalizedConvolution(
        channels,
        1,
        f"{name}_{level}",
        f"{name}_bn_{level}",
        train_norm=train_norm,
        name=f"{name}_norm_{level}",
    )
    convolution.norm.gamma_initializer = keras.initializers.Zeros()
    return lambda places: ops.squeeze(convolution(ops.expand_dims(places, 2)), 2)
