"""Pictures of drawn folders: a full disk is told."""

import numpy as np
import pytest

from siamese_mrcnn.data.coco_writer import write_picture


def test_a_full_disk_is_a_sentence_with_the_path(tmp_path):
    path = tmp_path / "1.jpg"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"1\.jpg: No space left on device\. .*free some space"):
        write_picture(path, np.zeros((8, 8, 3), np.uint8))
