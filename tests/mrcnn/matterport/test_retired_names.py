"""Names of Matterport's graph: they import, and to use one says what does its work now."""

import importlib

import pytest

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.matterport import retired_names


def test_a_retired_name_imports_and_its_use_ends_in_a_sentence():
    from mrcnn.model import DetectionTargetLayer

    words = r"^DetectionTargetLayer belonged .* mrcnn\.modeling\.roi_targets\.RoiTargets does its"
    with pytest.raises(NotImplementedError, match=words):
        DetectionTargetLayer(object(), name="proposal_targets")
    with pytest.raises(NotImplementedError, match=r"mrcnn\.ops\.gather does its work"):
        utils.batch_slice([1, 2], lambda x: x, 2)

    class Own(modellib.PyramidROIAlign):
        pass

    with pytest.raises(NotImplementedError, match="PyramidRoIAlign"):
        Own((7, 7))


@pytest.mark.parametrize("place", sorted(set(retired_names.SUCCESSORS.values())))
def test_what_the_sentence_names_is_there(place):
    assert place.startswith("mrcnn.")
    try:
        found = importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        found = getattr(importlib.import_module(module), name)
    assert found.__doc__


def test_what_is_offered_is_not_retired():
    offered = (set(vars(modellib)) | set(vars(utils))) & set(retired_names.SUCCESSORS)
    assert not offered
    with pytest.raises(AttributeError, match="There is no 'nonsense' in this module"):
        _ = modellib.nonsense
    assert not hasattr(utils, "nonsense")
