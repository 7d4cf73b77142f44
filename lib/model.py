"""`from lib import model`, as notebooks of the original Siamese Mask R-CNN begin."""

import siamese_mrcnn.model


class SiameseMaskRCNN(siamese_mrcnn.model.SiameseMaskRCNN):
    """As ours; ImageNet's weights come from the folder that the configuration names."""

    def load_imagenet_weights(self, pretraining="imagenet-687"):
        return super().load_imagenet_weights(pretraining, self.config.CHECKPOINT_DIR)
