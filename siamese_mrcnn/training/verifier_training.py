"""Training of the second look: crops of one category shall lie near each other, others apart.

Each category has a vector of its own, its proxy, which is thrown away afterwards. A crop must be
nearer to the proxy of its category than to all others, by a margin: CosFace (Wang et al., arXiv
1801.09414). What tells the categories of training apart this way also tells others apart.
"""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.data.broken_images import BrokenImages, describe_failure
from mrcnn.data.preprocessing import plan_input
from mrcnn.data.training_batches import EpochBatches, shuffled_pass
from mrcnn.images.image import prepare_image, to_rgb
from mrcnn.images.masks import prepare_masks
from mrcnn.modeling.conv_norm import batch_statistics, normalized_convolutions
from mrcnn.ops.initializers import RandomKernel
from mrcnn.progress import track
from mrcnn.weights.hdf5 import named_variables
from siamese_mrcnn.data.references import prepare_reference
from siamese_mrcnn.data.training_samples import active_classes
from siamese_mrcnn.training.resumable_fit import PretrainingError, fit_resumably

LEARNING_RATE = 0.001  # after a warm-up; then it falls to nothing along a cosine
BATCH = 64  # crops
NAME = "verifier"  # of checkpoints
VERIFIED_FINDS = 12  # where the configuration does not say how many
JITTER = 0.12  # of a box's sides, that each of them is moved at most, as detections are inexact
SCALE, MARGIN = 20.0, 0.25  # of cosines in the loss
TURNS = 8  # quarter turns of a crop and of its mirror image
MAX_TRIES = 1000  # images without a crop, before a batch is given up
FAR = 1e9  # taken from logits that do not count


class InstanceCrops(EpochBatches):
    """Batches of crops of single things, in boxes as inexact as detections, and their categories.

    A batch is uint8 [BATCH, h, w, 3], prepared as references are, and int32 [BATCH, 1]. It holds
    all things of images drawn at random. Batch n of epoch e depends on (seed, e, n) alone.

    Args:
        dataset: prepared data set; its `active_classes`, if it has any, limit the categories.
        config: `siamese_mrcnn.config.Config`.
        steps: batches an epoch.
        turned: crops are turned by quarters and mirrored at random, and what is turned is of a
            category of its own: right for symbols, not for things that may be seen so, which are
            mirrored alone and stay what they are.
        seed: of everything that is drawn.
        workers: threads that prepare batches ahead.

    Raises:
        PretrainingError: there are fewer than two categories.
    """

    def __init__(self, dataset, config, steps, turned=False, seed=0, workers=2):
        super().__init__(self._make, steps, workers)
        self.categories = sorted(int(class_id) for class_id in active_classes(dataset))
        if len(self.categories) < 2:
            raise PretrainingError(
                f"The data set has {len(self.categories)} categories to learn from, but telling "
                "them apart needs two. Choose another split."
            )
        self.turns = TURNS if turned else 1
        self._number = {class_id: n for n, class_id in enumerate(self.categories)}
        self._dataset, self._config, self.seed = dataset, config, seed
        self._broken = BrokenImages()

    def _make(self, epoch, index):
        rng = np.random.default_rng([self.seed, epoch, index])
        pictures, labels, failures = [], [], []
        for _ in range(MAX_TRIES):
            image_id = int(rng.choice(self._dataset.image_ids))
            try:
                crops = self._crops_of(image_id, rng)
            except Exception as error:  # noqa: BLE001 - whatever a user's load_mask() raises
                failures.append(describe_failure(self._dataset, image_id, error))
                continue
            for picture, label in crops:
                turn = int(rng.integers(TURNS if self.turns > 1 else 2))
                # a mirror image of a thing shows the same; a symbol's is another symbol
                pictures.append(turned(picture, turn if self.turns > 1 else turn * TURNS // 2))
                labels.append([label * self.turns + turn % self.turns])
            if len(pictures) >= BATCH:
                self._broken.add(failures)
                return np.stack(pictures[:BATCH]), np.array(labels[:BATCH], np.int32)
        raise PretrainingError(
            f"{MAX_TRIES} images in a row gave {len(pictures)} crops, but a batch needs {BATCH}. "
            "Check the images, their annotations and the split."
        )

    def _crops_of(self, image_id, rng):
        """(prepared crop, number of its category) of all things of an image."""
        present = [c for c in self._dataset.classes_in(image_id) if c in self._number]
        if not present:
            return []
        image = to_rgb(self._dataset.load_image(image_id))
        geometry = plan_input(image.shape, self._config, rng)
        prepared, crops = prepare_image(image, geometry), []
        for class_id in present:
            masks = self._dataset.load_masks_of(image_id, class_id)
            boxes = prepare_masks(np.moveaxis(masks, -1, 0), geometry)[0]
            for box in boxes:
                y1, x1, y2, x2 = jittered(box, prepared.shape, rng)
                crop = prepare_reference(prepared[y1:y2, x1:x2], self._config)
                crops.append((crop, self._number[class_id]))
        return crops


class EncodedCrops(EpochBatches):
    """The features of crops that are cut out and encoded once, in another order each epoch.

    What costs most is encoding; where the backbone stays as it is, it need not be repeated.

    Args:
        crops: `InstanceCrops`; its first batches are encoded.
        network: `SiameseNetwork` with a verifier.
        number: of batches to encode.
        steps: batches an epoch.
        progress: whether to show a bar.
    """

    def __init__(self, crops, network, number, steps, progress=True):
        super().__init__(self._make, steps, workers=0)
        self.seed = crops.seed
        encode = features_model(network)
        batches = map(crops.__getitem__, range(number))  # prepared ahead by the workers of crops
        shown = track(batches, "Encoding", "batches", number, shown=progress)
        encoded = [(encode.predict_on_batch(pictures), labels) for pictures, labels in shown]
        self.features, self._labels = map(np.concatenate, zip(*encoded, strict=True))

    def _make(self, epoch, index):
        passes, place = divmod((epoch * self._steps + index) * BATCH, len(self.features))
        orders = [
            shuffled_pass(self.seed, number, len(self.features)) for number in (passes, passes + 1)
        ]
        rows = np.concatenate(orders)[place : place + BATCH]
        return self.features[rows], self._labels[rows]


def jittered(box, shape, rng):
    """A box (y1, x1, y2, x2) with each side moved by up to `JITTER`, within an image's shape."""
    y1, x1, y2, x2 = box
    moves = rng.uniform(-JITTER, JITTER, 4) * ([y2 - y1, x2 - x1] * 2)
    moved = np.clip(np.rint(box + moves), 0, [*shape[:2]] * 2).astype(int)
    grown = moved[2:] > moved[:2]
    return moved if grown.all() else np.asarray(box)


def turned(picture, turn):
    """A square picture mirrored from turn 4 on, then turned by `turn` quarters."""
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if turn >= 4 else picture, turn % 4))


@keras.saving.register_keras_serializable("siamese_mrcnn")
class ProxyCosines(layers.Layer):
    """Cosines of unit vectors [batch, channels] with the proxies: [batch, categories].

    Args:
        categories: their number.
    """

    def __init__(self, categories, **keywords):
        super().__init__(**keywords)
        self.categories = categories

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.categories), initializer=RandomKernel(), name="kernel"
        )

    def call(self, vectors):
        return ops.matmul(vectors, ops.normalize(ops.convert_to_tensor(self.kernel), axis=0))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.categories)

    def get_config(self):
        return {**super().get_config(), "categories": self.categories}


@keras.saving.register_keras_serializable("siamese_mrcnn")
class MarginLoss(keras.losses.Loss):
    """CosFace: softmax cross entropy of `SCALE` times the cosines, the right one less `MARGIN`.

    y_true int [batch, 1]; y_pred cosines [batch, categories]. Of `turns` categories that are turns
    of one another, the wrong ones do not count: many shapes look alike turned.

    Args:
        turns: consecutive categories that are turns of one another.
    """

    def __init__(self, turns=1, name="margin_loss", **keywords):
        super().__init__(name=name, **keywords)
        self.turns = turns

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true[:, 0], "int32")
        numbers = ops.arange(y_pred.shape[1], dtype="int32")[None]
        right = ops.equal(numbers, labels[:, None])
        same = ops.equal(numbers // self.turns, labels[:, None] // self.turns)
        logits = SCALE * (y_pred - ops.where(right, MARGIN, 0.0))
        logits = ops.where(ops.logical_and(same, ops.logical_not(right)), -FAR, logits)
        return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "turns": self.turns}


@keras.saving.register_keras_serializable("siamese_mrcnn")
class NearestProxy(keras.metrics.Mean):
    """How often the nearest proxy is that of the crop's category."""

    def __init__(self, name="accuracy", **keywords):
        super().__init__(name=name, **keywords)

    def update_state(self, y_true, y_pred, sample_weight=None):
        nearest = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        right = ops.equal(nearest, ops.cast(y_true[:, 0], "int32"))
        return super().update_state(ops.cast(right, "float32"), sample_weight)


def features_model(network):
    """`keras.Model`: prepared crops to the features that the verifier's embedding begins with."""
    crops = keras.Input(network.config.TARGET_SHAPE[1:], name="crops")
    features = network.verifier.embedding.features(network.backbone_maps(crops))
    return keras.Model(crops, features, name="features")


def embedding_model(network, categories, features=None):
    """`keras.Model`: prepared crops to their cosines with the proxies of categories.

    Only what belongs to the verifier learns; the backbone's stages below it stay as they are.

    Args:
        network: `SiameseNetwork` with a verifier.
        categories: their number.
        features: shape of what `features_model` makes of a crop, which the model then takes.
    """
    if features is not None:
        inputs = keras.Input(features, name="features")
        vectors = network.verifier.unit_vector(inputs)
    else:
        inputs = keras.Input(network.config.TARGET_SHAPE[1:], name="crops")
        vectors = network.embed(inputs)
    cosines = ProxyCosines(categories, name="verify_proxies")(vectors)
    model = keras.Model(inputs, cosines, name="verifier")
    for layer in model.layers:
        layer.trainable = "verify" in layer.name
    return model


def train_verifier(
    model, dataset, epochs, steps, turned=False, workers=2, backup=None, verbose=1, encoded=None
):
    """Train the verifier of a model whose other weights are trained, and stay as they are.

    Args:
        model: `siamese_mrcnn.model.SiameseMaskRCNN` in mode "inference" with VERIFIED_FINDS; the
            weights of its verifier change.
        dataset: prepared data set; its `active_classes`, if it has any, limit the categories.
        epochs, steps: to train, and batches an epoch.
        turned: see `InstanceCrops`.
        workers: threads that load.
        backup: as of `siamese_mrcnn.training.category_pretraining.pretrain`.
        verbose: 1 shows progress, 0 does not.
        encoded: number of batches that are cut out and encoded once, and then learned from again
            and again; None: each step has crops of its own.

    Returns:
        `keras.callbacks.History` with "loss" and "accuracy" of each epoch.

    Raises:
        PretrainingError: there is nothing to learn from, or the model has no verifier.
    """
    if model.network.verifier is None:
        raise PretrainingError("The model has no verifier to train: set VERIFIED_FINDS, say to 12.")
    crops = InstanceCrops(
        dataset, model.config, encoded or steps, turned, model.config.SEED, workers
    )
    batches, features = crops, None
    if encoded:
        batches = EncodedCrops(crops, model.network, encoded, steps, progress=bool(verbose))
        features = batches.features.shape[1:]
    categories = len(crops.categories) * crops.turns
    embedding = embedding_model(model.network, categories, features)
    begin_as_backbone(embedding, model.keras_model)
    own = [each for each in normalized_convolutions(embedding) if "verify" in each.name]
    try:
        with batch_statistics(own):
            return fit_resumably(
                embedding,
                model.config,
                batches,
                epochs,
                (NAME, LEARNING_RATE, MarginLoss(crops.turns), NearestProxy()),
                backup,
                verbose,
            )
    finally:
        crops.close()
        for layer in embedding.layers:
            layer.trainable = True


def begin_as_backbone(embedding, model):
    """Let the verifier's blocks begin with the weights of the backbone's, where they are alike."""
    known = named_variables(model)
    for name, variable in named_variables(embedding).items():
        source = known.get(name.replace("_verify", ""))
        if "_verify" in name and source is not None and source.shape == variable.shape:
            # A copy: JAX gives an array's memory away in a training step, whoever else holds it.
            variable.assign(ops.copy(source))
